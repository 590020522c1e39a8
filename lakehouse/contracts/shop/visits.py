"""Contract of visitor interactions."""

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
    grain="one row per interaction of a visitor",
    key="interaction_id",
    indexed_live=(("occurred_at",),),
    columns=(
        Column(
            name="interaction_id", type=Type.INTEGER, required=True, description="Interaction id.",
        ),
        Column(
            name="customer_id", type=Type.INTEGER,
            description="The customer account, if signed in.",
        ),
        Column(
            name="session_id", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="Session id of the visit.",
        ),
        Column(
            name="product_id", type=Type.INTEGER, description="The product, if any.",
        ),
        Column(
            name="interaction_type", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            # An unknown kind is no step towards a purchase; the row is kept for inspection.
            on_unknown=OnUnknown.COUNT,
            allowed_values=("view", "cart", "checkout", "purchase", "review"),
            description="Kind of interaction.",
        ),
        Column(
            name="device", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            on_unknown=OnUnknown.COUNT, allowed_values=("desktop", "mobile", "tablet", "phone"),
            description="Device of the visitor.",
        ),
        Column(
            name="referrer", type=Type.TEXT, cleaning=Cleaning.SPACES,
            description="Referring site; absent for direct visits.",
        ),
        Column(
            name="rating", type=Type.INTEGER, minimum=1, maximum=5, unit="stars",
            description="Stars given in a review.",
        ),
        Column(
            name="occurred_at", type=Type.TIMESTAMP, required=True, not_in_future=True,
            description="When.",
        ),
        *row_times(),
    ),
    derived=(
        *day_and_month("occurred", "Day of the interaction."),
    ),
    partition="occurred_month",
)  # fmt: skip
