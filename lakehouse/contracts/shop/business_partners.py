"""Contracts of customers and suppliers."""

from lakehouse.contracts.model import (
    Cleaning,
    Column,
    Derivation,
    Derived,
    Entity,
    OnUnknown,
    Type,
    row_times,
)

CUSTOMERS = Entity(
    table="customers",
    silver="enriched_users",
    history="users_history",
    grain="one row per customer account",
    key="customer_id",
    raw="raw_users",
    columns=(
        Column(name="customer_id", type=Type.INTEGER, required=True, description="Account id."),
        Column(
            name="first_name", type=Type.TEXT, required=True, cleaning=Cleaning.NAME,
            description="Given name.",
        ),
        Column(
            name="last_name", type=Type.TEXT, required=True, cleaning=Cleaning.NAME,
            description="Family name.",
        ),
        Column(
            name="email", type=Type.TEXT, required=True, cleaning=Cleaning.EMAIL,
            description="E-mail address, in small letters.",
        ),
        Column(
            name="phone", type=Type.TEXT, cleaning=Cleaning.PHONE, can_be_dropped=True,
            description="Phone number, E.164; absent if the input is not a valid number.",
        ),
        Column(
            name="birth_date", type=Type.DATE, not_in_future=True, description="Birthday.",
        ),
        Column(
            name="street", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="Street and number.",
        ),
        Column(
            name="postal_code", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="Postal code.",
        ),
        Column(
            name="city", type=Type.TEXT, required=True, cleaning=Cleaning.NAME, description="City.",
        ),
        Column(
            name="region", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="Region, by name.",
        ),
        Column(
            name="country", type=Type.TEXT, required=True, cleaning=Cleaning.COUNTRY,
            on_unknown=OnUnknown.COUNT, description="Country, ISO 3166-1 alpha-2, or XK.",
        ),
        Column(
            name="latitude", type=Type.DEGREES, minimum=-90, maximum=90, unit="degrees north",
            description="Latitude of the address.",
        ),
        Column(
            name="longitude", type=Type.DEGREES, minimum=-180, maximum=180, unit="degrees east",
            description="Longitude of the address.",
        ),
        Column(
            name="accepts_marketing", type=Type.BOOLEAN, required=True,
            description="Whether the customer agreed to marketing.",
        ),
        *row_times(),
    ),
    derived=(
        Derived(
            name="region_code", type=Type.TEXT, how=Derivation.REGION_CODE,
            inputs=("country", "region"),
            description="Region, ISO 3166-2; absent if the name is unknown.",
        ),
        Derived(
            name="person_key", type=Type.TEXT, how=Derivation.PERSON_KEY,
            inputs=("email", "birth_date"),
            description="Hash that all accounts of one person share.",
        ),
    ),
)  # fmt: skip

SUPPLIERS = Entity(
    table="suppliers",
    silver="cleaned_suppliers",
    grain="one row per supplier",
    key="supplier_id",
    columns=(
        Column(
            # The warehouse uses supplier ids as keys, negative ones for unknown suppliers.
            name="supplier_id", type=Type.INTEGER, required=True, minimum=0,
            description="Supplier id.",
        ),
        Column(
            name="name", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="Name of the company.",
        ),
        Column(
            name="contact_name", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="Contact person.",
        ),
        Column(
            name="email", type=Type.TEXT, required=True, cleaning=Cleaning.EMAIL,
            description="E-mail address, in small letters.",
        ),
        Column(
            name="phone", type=Type.TEXT, required=True, cleaning=Cleaning.PHONE,
            description="Phone number, E.164.",
        ),
        Column(
            name="country", type=Type.TEXT, required=True, cleaning=Cleaning.COUNTRY,
            on_unknown=OnUnknown.COUNT, description="Country, ISO 3166-1 alpha-2, or XK.",
        ),
        Column(
            name="city", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="City.",
        ),
        Column(
            name="lead_time_days", type=Type.INTEGER, required=True, minimum=1, maximum=365,
            unit="days", description="Delivery time from order to arrival.",
        ),
        *row_times(),
    ),
)  # fmt: skip
