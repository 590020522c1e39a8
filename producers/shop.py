"""The state of the shop between two events: customers, products, orders and future events."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Concatenate, ParamSpec
from zlib import crc32

from producers.catalogue import Catalogue
from producers.changes import Changes
from producers.demand import Popularity, long_tail_position, product_weight
from producers.dirt import Dirtier
from producers.event_queue import EventQueue
from producers.geography import Place
from producers.keys import Keys
from producers.money import Tariff, Totals, seed_rates

P = ParamSpec("P")

_MOST_CUSTOMERS = 50_000
TASTES = 6
"""Products and places belong to one of so many tastes."""
STAPLES = 3
OF_TASTE, STAPLE = 0.75, 0.15
"""Shares of products that are chosen by taste, and that are one of the place's staples."""


@dataclass(slots=True, kw_only=True, eq=False)
class Customer:
    """An account. `busy` counts the visits and orders that still need it."""

    customer_id: int
    place: Place
    busy: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Supplier:
    """A supplier."""

    supplier_id: int
    lead_time_days: int


@dataclass(slots=True, kw_only=True, eq=False)
class Product:
    """A product. By warehouse: units available, and whether a delivery is expected."""

    product_id: int
    supplier: Supplier
    price_cents: int
    cost_cents: int
    is_active: bool = True
    stock: dict[str, int] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    """A line of an open order."""

    order_line_id: int
    product: Product
    warehouse: str
    quantity: int
    unit_price_cents: int

    @property
    def total_cents(self) -> int:
        """Price of the line in cents."""
        return self.quantity * self.unit_price_cents


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """A visitor of the shop; `customer` is None for an anonymous one."""

    session_id: str
    device: str
    referrer: str | None
    channel: str
    customer: Customer | None
    basket: list[tuple[Product, int]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class OpenOrder:
    """An order that is not final. `customer` is None once the account was deleted."""

    order_id: int
    customer: Customer | None
    device: str
    tariff: Tariff
    lines: list[Line]
    totals: Totals
    method: str
    payment_id: int | None = None


class Streams(dict[str, Random]):
    """Random generators by name, each seeded apart: draws from one do not change the others."""

    def __init__(self, seed: str) -> None:
        super().__init__()
        self._seed = seed

    def __missing__(self, name: str) -> Random:
        self[name] = Random(f"{name}/{self._seed}")  # noqa: S311
        return self[name]


def taste_of(city: str) -> int:
    """Return the taste of who lives in a city."""
    return crc32(city.encode()) % TASTES


class Shop:
    """State that events read and change.

    Attributes:
        streams: random generators; a table added later draws from one of its own, so that a seed
            gives the same rows of the others as before.
        random: used in the order of events, so that a seed determines the shop.
        rates: value of one unit of each currency in the base currency, times RATE_SCALE.
        moment: moment of the current event, counted in orders.
        now: its instant.
        day_length: orders per day, by which delays in days are converted to moments.
        orders_placed: since this object was created.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        streams: Streams,
        dirtier: Dirtier,
        keys: Keys,
        base_currency: str,
    ) -> None:
        self.catalogue = catalogue
        self.streams = streams
        self.random = streams["shop"]
        self.dirtier = dirtier
        self.keys = keys
        self.base_currency = base_currency
        self.rates = seed_rates(base_currency)
        self.events = EventQueue()
        self.changes = Changes()
        self.moment = 0.0
        self.now = datetime.now(tz=UTC)
        self.day_length = 1_000.0
        self.orders_placed = 0
        self.suppliers: list[Supplier] = []
        self.products: list[Product] = []
        self.customers: list[Customer] = []
        self._popularity: Popularity | None = None
        self._tastes: dict[int, tuple[list[Product], Popularity]] = {}

    def after(
        self,
        days: float,
        action: Callable[Concatenate["Shop", P], None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Schedule `action` this many days of the shop from now."""
        self.at(self.moment + days * self.day_length, action, *args, **kwargs)

    def at(
        self,
        moment: float,
        action: Callable[Concatenate["Shop", P], None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Schedule `action` at `moment`."""
        self.events.add(moment, partial(action, self, *args, **kwargs))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < probability

    def take_changes(self) -> Changes:
        """Return the changes since the last call."""
        changes, self.changes = self.changes, Changes()
        return changes

    def add_product(self, product: Product) -> None:
        """Add a product to those on sale."""
        self.products.append(product)
        self._forget_popularity()

    def remove_product(self, product: Product) -> None:
        """Remove a product from those on sale."""
        self.products.remove(product)
        self._forget_popularity()

    def _forget_popularity(self) -> None:
        self._popularity = None
        self._tastes.clear()

    def popular_product(self) -> Product:
        """Return a random product by popularity."""
        return self.products[self._by_popularity().pick(self.random)]

    def _by_popularity(self) -> Popularity:
        if self._popularity is None:
            self._popularity = Popularity([product_weight(p.product_id) for p in self.products])
        return self._popularity

    def product_for(self, customer: Customer | None) -> Product:
        """Return a random product by popularity, often of the customer's taste or a staple.

        Both are those of the place where the customer lives: that is the same after a restart, and
        whatever keys the accounts have.
        """
        if customer is None:
            return self.popular_product()
        random, city = self.streams["taste"], customer.place.city
        kind = random.random()
        if kind < STAPLE:
            share = crc32(city.encode(), random.randrange(STAPLES)) / 2**32
            return self.products[self._by_popularity().at(share)]
        products, popularity = self._of_taste(taste_of(city))
        if kind < STAPLE + OF_TASTE and products:
            return products[popularity.pick(self.random)]
        return self.popular_product()

    def _of_taste(self, taste: int) -> tuple[list[Product], Popularity]:
        if taste not in self._tastes:
            products = [one for one in self.products if one.product_id % TASTES == taste]
            weights = [product_weight(one.product_id) for one in products]
            self._tastes[taste] = products, Popularity(weights)
        return self._tastes[taste]

    def add_customer(self, customer: Customer) -> None:
        """Keep an account in memory; in a large shop an idle one is dropped from memory instead."""
        self.customers.append(customer)
        if len(self.customers) > _MOST_CUSTOMERS:
            self.forget_idle_customer()

    def loyal_customer(self) -> Customer:
        """Return a random existing customer; older accounts are more likely."""
        return self.customers[long_tail_position(self.random, len(self.customers))]

    def forget_idle_customer(self) -> Customer | None:
        """Drop one idle account from memory, if one is found within a few tries."""
        for _ in range(20):
            position = int(self.random.random() * len(self.customers))
            if not self.customers[position].busy:
                # Moving the last element is O(1), and the order matters little.
                last = self.customers.pop()
                if position == len(self.customers):
                    return last
                found, self.customers[position] = self.customers[position], last
                return found
        return None
