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
    grain="one row per account",
    key="customer_id",
    columns=(
        Column(name="customer_id", type=Type.INTEGER, required=True, meaning="The account."),
        Column(
            name="first_name", type=Type.TEXT, required=True, cleaning=Cleaning.NAME,
            meaning="Given name.",
        ),
        Column(
            name="last_name", type=Type.TEXT, required=True, cleaning=Cleaning.NAME,
            meaning="Family name.",
        ),
        Column(
            name="email", type=Type.TEXT, required=True, cleaning=Cleaning.EMAIL,
            meaning="E-mail address, in small letters.",
        ),
        Column(
            name="phone", type=Type.TEXT, cleaning=Cleaning.PHONE, can_be_dropped=True,
            meaning="Phone number, E.164; absent where what was typed is no number.",
        ),
        Column(
            name="birth_date", type=Type.DATE, is_past=True, meaning="Birthday.",
        ),
        Column(
            name="street", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            meaning="Street and number.",
        ),
        Column(
            name="postal_code", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            meaning="Postal code.",
        ),
        Column(
            name="city", type=Type.TEXT, required=True, cleaning=Cleaning.NAME, meaning="City.",
        ),
        Column(
            name="region", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            meaning="Region, by name.",
        ),
        Column(
            name="country", type=Type.TEXT, required=True, cleaning=Cleaning.COUNTRY,
            on_unknown=OnUnknown.COUNT, meaning="Country, ISO 3166-1 alpha-2, or XK.",
        ),
        Column(
            name="latitude", type=Type.DEGREES, least=-90, greatest=90, unit="degrees north",
            meaning="Where the address is.",
        ),
        Column(
            name="longitude", type=Type.DEGREES, least=-180, greatest=180, unit="degrees east",
            meaning="Where the address is.",
        ),
        Column(
            name="accepts_marketing", type=Type.BOOLEAN, required=True,
            meaning="Whether they want to hear from the shop.",
        ),
        *row_times(),
    ),
    derived=(
        Derived(
            name="region_code", type=Type.TEXT, how=Derivation.REGION_CODE,
            inputs=("country", "region"),
            meaning="Region, ISO 3166-2; absent where the name is not known.",
        ),
        Derived(
            name="person_key", type=Type.TEXT, how=Derivation.PERSON_KEY,
            inputs=("email", "birth_date"),
            meaning="The same for all accounts of one person.",
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
            # The warehouse's suppliers have their own ids as keys; below zero are its unknown ones.
            name="supplier_id", type=Type.INTEGER, required=True, least=0, meaning="The supplier.",
        ),
        Column(
            name="name", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            meaning="Name of the company.",
        ),
        Column(
            name="contact_name", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            meaning="Whom to ask for.",
        ),
        Column(
            name="email", type=Type.TEXT, required=True, cleaning=Cleaning.EMAIL,
            meaning="E-mail address, in small letters.",
        ),
        Column(
            name="phone", type=Type.TEXT, required=True, cleaning=Cleaning.PHONE,
            meaning="Phone number, E.164.",
        ),
        Column(
            name="country", type=Type.TEXT, required=True, cleaning=Cleaning.COUNTRY,
            on_unknown=OnUnknown.COUNT, meaning="Country, ISO 3166-1 alpha-2, or XK.",
        ),
        Column(
            name="city", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES, meaning="City.",
        ),
        Column(
            name="lead_time_days", type=Type.INTEGER, required=True, least=1, greatest=365,
            unit="days", meaning="From order to arrival.",
        ),
        *row_times(),
    ),
)  # fmt: skip
