"""The state of the shop between two events: who and what is there, and what is still to happen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Concatenate, ParamSpec

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
    """A product. By warehouse: the units that can be promised; whether more are awaited."""

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
        """What the line costs."""
        return self.quantity * self.unit_price_cents


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """Somebody in the shop; `customer` is None for one who does not say who they are."""

    session_id: str
    device: str
    referrer: str | None
    channel: str
    customer: Customer | None
    basket: list[tuple[Product, int]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class OpenOrder:
    """An order that something may still happen to. The customer is None once the account is."""

    order_id: int
    customer: Customer | None
    device: str
    tariff: Tariff
    lines: list[Line]
    totals: Totals
    method: str
    payment_id: int | None = None


class Shop:
    """Everything the events read and change.

    Attributes:
        random: drawn from in the order of events, so that a seed makes one shop.
        rates: what a unit of each currency is worth in the base currency, times RATE_SCALE.
        moment: of the event that happens now, counted in orders.
        now: the same as an instant.
        day_length: orders in a day; a delay in days is worth that many.
        orders_placed: since this object was made.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        random: Random,
        dirtier: Dirtier,
        keys: Keys,
        base_currency: str,
    ) -> None:
        self.catalogue = catalogue
        self.random = random
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

    def after(
        self,
        days: float,
        action: Callable[Concatenate["Shop", P], None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Have `action` happen to the shop in so many of its days."""
        self.at(self.moment + days * self.day_length, action, *args, **kwargs)

    def at(
        self,
        moment: float,
        action: Callable[Concatenate["Shop", P], None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Have `action` happen to the shop at `moment`."""
        self.events.add(moment, partial(action, self, *args, **kwargs))

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self.random.random() < probability

    def take_changes(self) -> Changes:
        """What the events have changed since the last time."""
        changes, self.changes = self.changes, Changes()
        return changes

    def add_product(self, product: Product) -> None:
        """Put a product on the shelves."""
        self.products.append(product)
        self._popularity = None

    def remove_product(self, product: Product) -> None:
        """Take a product off the shelves."""
        self.products.remove(product)
        self._popularity = None

    def popular_product(self) -> Product:
        """A product as visitors pick it: few very often, most of them rarely."""
        if self._popularity is None:
            self._popularity = Popularity([product_weight(p.product_id) for p in self.products])
        return self.products[self._popularity.pick(self.random)]

    def add_customer(self, customer: Customer) -> None:
        """Remember an account; in a large shop, an idle one is forgotten (it stays stored)."""
        self.customers.append(customer)
        if len(self.customers) > _MOST_CUSTOMERS:
            self.forget_idle_customer()

    def loyal_customer(self) -> Customer:
        """A customer who comes back: the longer they are with us, the likelier."""
        return self.customers[long_tail_position(self.random, len(self.customers))]

    def forget_idle_customer(self) -> Customer | None:
        """Strike one account that nothing depends on off the list, if one is found soon."""
        for _ in range(20):
            position = int(self.random.random() * len(self.customers))
            if not self.customers[position].busy:
                # The last one takes the place: order matters little, and this is quick.
                last = self.customers.pop()
                if position == len(self.customers):
                    return last
                found, self.customers[position] = self.customers[position], last
                return found
        return None
