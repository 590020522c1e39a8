"""Countries with their terms, and real cities with region and coordinates."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """A country the shop delivers to.

    Attributes:
        code: ISO 3166-1 alpha-2.
        old_code: an outdated code that some systems still send.
        locale: Faker's locale for names and streets.
        tax_basis_points: tax on the price, in hundredths of a percent.
        shipping_cents: in the base currency.
        phone: international format; `#` stands for a digit, `?` for one from 2 to 9.
        trunk: national trunk prefix; empty if there is none.
        warehouse: the preferred warehouse for deliveries.
    """

    code: str
    name: str
    old_code: str
    locale: str
    currency: str
    tax_basis_points: int
    shipping_cents: int
    phone: str
    trunk: str
    warehouse: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A city. `#` in `postal` stands for a digit."""

    country: Country
    region: str
    city: str
    postal: str
    latitude: float
    longitude: float
    weight: int


@cache
def countries() -> dict[str, Country]:
    """All countries, by code."""
    return {
        row["code"]: Country(
            code=row["code"],
            name=row["name"],
            old_code=row["old_code"],
            locale=row["locale"],
            currency=row["currency"],
            tax_basis_points=int(row["tax_basis_points"]),
            shipping_cents=int(row["shipping_cents"]),
            phone=row["phone"],
            trunk=row["trunk"],
            warehouse=row["warehouse"],
            weight=int(row["weight"]),
        )
        for row in read_data("countries")
    }


@cache
def places() -> dict[str, tuple[Place, ...]]:
    """The cities of each country, by its code."""
    found: dict[str, list[Place]] = {code: [] for code in countries()}
    for row in read_data("places"):
        place = Place(
            country=countries()[row["country"]],
            region=row["region"],
            city=row["city"],
            postal=row["postal"],
            latitude=float(row["latitude"]),
            longitude=float(row["longitude"]),
            weight=int(row["weight"]),
        )
        found[row["country"]].append(place)
    return {code: tuple(cities) for code, cities in found.items()}


@cache
def warehouses() -> tuple[str, ...]:
    """The codes of all warehouses."""
    return tuple(sorted({country.warehouse for country in countries().values()}))


def read_data(name: str) -> Iterator[dict[str, str]]:
    """The rows of a file in `producers/data/`."""
    with (_DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
