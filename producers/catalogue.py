"""Generator of customers, suppliers and products, with names and streets that suit the country.

Pools of names are filled once per seed, since Faker would be too slow for each row.
"""

import unicodedata
from datetime import date, datetime, timedelta
from random import Random
from typing import NamedTuple

from faker import Faker

from producers.demand import Popularity
from producers.geography import Country, Place, countries, places, read_data
from producers.money import amount
from producers.rows import CustomerRow, ProductRow, SupplierRow

_NAMES = 150
_STREETS = 80
_DOMAINS = ("example.com", "example.org", "example.net", "mail.example", "post.example")
_NUMBER_FIRST = {"FR", "GB", "US", "CA"}
_QUALITIES = (
    "Classic",
    "Compact",
    "Deluxe",
    "Eco",
    "Essential",
    "Mini",
    "Premium",
    "Pro",
    "Studio",
)


class People(NamedTuple):
    """Names and streets of one country."""

    first_names: list[str]
    last_names: list[str]
    streets: list[str]


class Address(NamedTuple):
    """The columns of `customers` that change when a customer moves."""

    street: str
    postal_code: str
    city: str
    region: str
    country: str
    latitude: str
    longitude: str


class Range(NamedTuple):
    """Product names and price range of a category."""

    category: str
    nouns: list[str]
    brands: list[str]
    lowest_cents: int
    highest_cents: int
    weight_grams: int


class Catalogue:
    """Generator of customers, suppliers and products. The same seed fills the same pools."""

    def __init__(self, seed: int) -> None:
        self._people = {c.code: _people(c, seed) for c in countries().values()}
        self._countries = list(countries().values())
        self._country = Popularity([country.weight for country in self._countries])
        self._city = {code: Popularity([p.weight for p in of]) for code, of in places().items()}
        self._ranges = [_range(row) for row in read_data("categories")]

    def place(self, random: Random, *, within: Country | None = None) -> Place:
        """Return a random address, in any country or in the given one."""
        country = within or self._countries[self._country.pick(random)]
        return places()[country.code][self._city[country.code].pick(random)]

    def address(self, random: Random, place: Place) -> Address:
        """Return a random address in a city."""
        country = place.country.code
        street, number = random.choice(self._people[country].streets), random.randint(1, 180)
        return Address(
            street=f"{number} {street}" if country in _NUMBER_FIRST else f"{street} {number}",
            postal_code=_digits(random, place.postal),
            city=place.city,
            region=place.region,
            country=country,
            latitude=_near(random, place.latitude),
            longitude=_near(random, place.longitude),
        )

    def customer(
        self, random: Random, place: Place, *, customer_id: int, at: datetime
    ) -> CustomerRow:
        """Return a new customer."""
        people = self._people[place.country.code]
        first_name, last_name = random.choice(people.first_names), random.choice(people.last_names)
        return CustomerRow(
            customer_id=customer_id,
            first_name=first_name,
            last_name=last_name,
            email=email(random, first_name, last_name),
            phone=phone(random, place.country) if random.random() < 0.85 else None,
            birth_date=_birth_date(random, at) if random.random() < 0.7 else None,
            **self.address(random, place)._asdict(),
            accepts_marketing=random.random() < 0.4,
            created_at=at,
            updated_at=at,
        )

    def supplier(self, random: Random, *, supplier_id: int, at: datetime) -> SupplierRow:
        """Return a new supplier."""
        place = self.place(random)
        people = self._people[place.country.code]
        first_name, last_name = random.choice(people.first_names), random.choice(people.last_names)
        return SupplierRow(
            supplier_id=supplier_id,
            name=f"{last_name} {random.choice(('& Co', 'Trading', 'Group', 'Supply', 'Works'))}",
            contact_name=f"{first_name} {last_name}",
            email=email(random, first_name, last_name),
            phone=phone(random, place.country),
            country=place.country.code,
            city=place.city,
            lead_time_days=random.randint(1, 9),
            created_at=at,
            updated_at=at,
        )

    def product(
        self, random: Random, *, product_id: int, supplier_id: int, at: datetime
    ) -> tuple[ProductRow, int, int]:
        """Return a new product, with price and cost in cents."""
        kind = random.choice(self._ranges)
        noun, brand = random.choice(kind.nouns), random.choice(kind.brands)
        spread = kind.highest_cents / kind.lowest_cents
        # Log-uniform prices: many cheap products, few expensive ones; most end in 90 cents.
        price = round(kind.lowest_cents * spread ** random.random(), -2) - 10
        price_cents = max(int(price), 90)
        cost_cents = max(int(price_cents * random.uniform(0.35, 0.7)), 1)
        quality = random.choice(_QUALITIES)
        row = ProductRow(
            product_id=product_id,
            supplier_id=supplier_id,
            sku=f"{kind.category[:3].upper()}-{product_id:06d}",
            name=f"{brand} {noun} {quality}",
            category=kind.category,
            brand=brand,
            description=f"{noun} by {brand}, {quality.lower()} line, for {kind.category.lower()}.",
            price_amount=amount(price_cents),
            cost_amount=amount(cost_cents),
            weight_grams=int(kind.weight_grams * random.uniform(0.5, 2)),
            is_active=True,
            created_at=at,
            updated_at=at,
        )
        return row, price_cents, cost_cents


def email(random: Random, first_name: str, last_name: str) -> str:
    """Return an e-mail address in a domain reserved for examples."""
    name = ".".join(filter(None, (_ascii(first_name), _ascii(last_name)))) or "customer"
    return f"{name}{random.randint(1, 9999)}@{random.choice(_DOMAINS)}"


def phone(random: Random, country: Country) -> str:
    """Return a phone number in international format."""
    return _digits(random, country.phone)


def _people(country: Country, seed: int) -> People:
    faker = Faker(country.locale)
    faker.seed_instance(f"{seed}/{country.code}")
    # Faker's Japanese provider has no street names; addresses there name the quarter.
    street = getattr(faker, "town", faker.street_name)
    return People(
        first_names=[faker.first_name() for _ in range(_NAMES)],
        last_names=[faker.last_name() for _ in range(_NAMES)],
        streets=[str(street()) for _ in range(_STREETS)],
    )


def _range(row: dict[str, str]) -> Range:
    return Range(
        category=row["category"],
        nouns=row["nouns"].split("|"),
        brands=row["brands"].split("|"),
        lowest_cents=int(row["lowest_cents"]),
        highest_cents=int(row["highest_cents"]),
        weight_grams=int(row["weight_grams"]),
    )


def _birth_date(random: Random, at: datetime) -> date:
    return (at - timedelta(days=random.randint(18 * 366, 80 * 365))).date()


def _near(random: Random, degrees: float) -> str:
    return f"{degrees + random.uniform(-0.04, 0.04):.6f}"


def _digits(random: Random, pattern: str) -> str:
    """`#` becomes any digit, `?` one from 2 to 9: North American area codes begin with these."""
    first = {"#": 0, "?": 2}
    return "".join(
        str(first[c] + int(random.random() * (10 - first[c]))) if c in first else c for c in pattern
    )


def _ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(c for c in plain.lower() if c.isalpha())
