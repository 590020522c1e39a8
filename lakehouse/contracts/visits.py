"""Contract of what visitors do."""

from lakehouse.contracts.model import (
    Cleaning,
    Column,
    Entity,
    OnUnknown,
    Type,
    day_and_month,
    row_times,
)

INTERACTIONS = Entity(
    table="interactions",
    silver="cleaned_interactions",
    grain="one row per thing a visitor does",
    key="interaction_id",
    columns=(
        Column(
            name="interaction_id", type=Type.INTEGER, required=True, description="The interaction.",
        ),
        Column(
            name="customer_id", type=Type.INTEGER,
            description="The account, if they had signed in.",
        ),
        Column(
            name="session_id", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="The visit.",
        ),
        Column(
            name="product_id", type=Type.INTEGER, description="The product, if it is about one.",
        ),
        Column(
            name="interaction_type", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            # What nobody knows is no step towards a purchase; the row is there to be looked at.
            on_unknown=OnUnknown.COUNT,
            allowed_values=("view", "cart", "checkout", "purchase", "review"),
            description="What they did.",
        ),
        Column(
            name="device", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            on_unknown=OnUnknown.COUNT, allowed_values=("desktop", "mobile", "tablet", "phone"),
            description="With what.",
        ),
        Column(
            name="referrer", type=Type.TEXT, cleaning=Cleaning.SPACES,
            description="Where they came from; absent if directly.",
        ),
        Column(
            name="rating", type=Type.INTEGER, minimum=1, maximum=5, unit="stars",
            description="Of a review.",
        ),
        Column(
            name="occurred_at", type=Type.TIMESTAMP, required=True, not_in_future=True,
            description="When.",
        ),
        *row_times(),
    ),
    derived=(
        *day_and_month("occurred", "Day on which they did it."),
    ),
    partition="occurred_month",
)  # fmt: skip
