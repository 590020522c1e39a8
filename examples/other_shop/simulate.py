"""Sells in the other shop: a history, or live orders; prints a line of JSON for each step.

The connection is libpq's: PGHOST, PGUSER and the like. The same seed on an empty shop gives the
same rows; live rows have the times at which they are written.
"""

import argparse
import json
import random
import signal
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import psycopg
from faker import Faker

BERLIN = ZoneInfo("Europe/Berlin")
RATES = {1: "7.00", 2: "7.00", 3: "19.00", 4: "19.00"}
ARTICLES, CLIENTS = 60, 200
PAST_ORDERS_A_DAY = 200
STATES = ("paid_on", "packed_on", "shipped_on", "delivered_on")
"""What happens to an order, each as state 2 and following."""


class Stopped(Exception):  # noqa: N818 - no error
    """The process shall end."""


def net_of(gross_minor: int, vat_percent: str) -> int:
    """Return an amount without its tax, rounded half up to the cent."""
    net = Decimal(gross_minor) * 100 / (100 + Decimal(vat_percent))
    return int(net.quantize(Decimal(1), ROUND_HALF_UP))


class OtherShop:
    """The shop, through one connection; each event is one transaction."""

    def __init__(self, connection: psycopg.Connection, seed: int) -> None:
        self._db = connection
        # Another run continues with other keys.
        orders = connection.execute("select count(*) from purchase").fetchall()[0][0]
        seed = seed + 1_000_003 * orders
        self._random = random.Random(seed)  # noqa: S311 - a simulation
        self._faker = Faker(["de_DE", "fr_FR", "nl_NL"])
        self._faker.seed_instance(seed)
        self._open: list[tuple[uuid.UUID, int]] = []
        self.orders = self.rows = 0

    def open(self, now: datetime) -> None:
        """Fill an empty shop with articles and clients; continue with those that are there."""
        if not self._ids("article"):
            with self._db.transaction():
                for number in range(ARTICLES):
                    self._add_article(number, now)
                for _ in range(CLIENTS):
                    self._add_client(now)
        self._articles = [
            (row[0], row[1], str(row[2]))
            for row in self._db.execute(
                "select a.id, a.gross_minor, a.vat_percent from article as a order by a.number"
            )
        ]
        self._clients = self._ids("client")
        self._open = [
            (row[0], row[1])
            for row in self._db.execute("select p.id, p.state from purchase as p where p.state < 5")
        ]

    def sell(self, now: datetime) -> None:
        """Let a client order, and whatever else happens meanwhile."""
        chance = self._random.random
        with self._db.transaction():
            self._order(now)
        for _ in range(min(3, len(self._open))):
            if chance() < 0.9:
                with self._db.transaction():
                    self._advance(now)
        if chance() < 0.1:
            with self._db.transaction():
                self._clients.append(self._add_client(now))
        if chance() < 0.05:
            with self._db.transaction():
                self._change_price(now)
        if chance() < 0.02:
            with self._db.transaction():
                self._forget_client()

    def _order(self, now: datetime) -> None:
        key, client = self._uuid(), self._random.choice(self._clients)
        items = self._random.sample(self._articles, self._random.randint(1, 4))
        lines = [(*item, self._random.randint(1, 3)) for item in items]
        total = sum(gross * pieces for _, gross, _, pieces in lines)
        net = sum(net_of(gross, vat) * pieces for _, gross, vat, pieces in lines)
        self._write(
            "insert into purchase (id, client_id, state, currency_code, total_minor, tax_minor, "
            "town, state_name, country_code, ordered_on, changed_on) select %s, c.id, 1, "
            "%s, %s, %s, c.town, c.state_name, c.country_code, %s, %s from client as c "
            "where c.id = %s",
            key, self._random.choice(["EUR", None]), total, total - net, now, now, client,
        )  # fmt: skip
        for place, (article, gross, vat, pieces) in enumerate(lines, 1):
            self._write(
                "insert into purchase_item values (%s, %s, %s, %s, %s, %s, %s, %s)",
                self._uuid(), key, article, place, pieces, gross, vat, now,
            )  # fmt: skip
        self._settle(key, 1, total, now, state=0)
        self._open.append((key, 1))
        self.orders += 1

    def _advance(self, now: datetime) -> None:
        number = self._random.randrange(len(self._open))
        key, state = self._open.pop(number)
        if state == 1 and self._random.random() < 0.05:
            self._set(key, 6, "cancelled_on", now)
            self._write("update settlement set state = 2, settled_on = %s where purchase_id = %s",
                        now, key)  # fmt: skip
            return
        if state == 1 and self._random.random() < 0.01:
            # Ordered by mistake: the row goes, with its items and its payment.
            self._write("delete from purchase where id = %s", key)
            return
        self._set(key, state + 1, STATES[state - 1], now)
        if state == 1:
            self._write("update settlement set state = 1, settled_on = %s where purchase_id = %s",
                        now, key)  # fmt: skip
        if state < 4:
            self._open.append((key, state + 1))
        elif self._random.random() < 0.08:
            self._set(key, 7, "refunded_on", now)
            row = self._db.execute("select p.total_minor from purchase as p where p.id = %s", [key])
            self._settle(key, 2, row.fetchall()[0][0], now, state=1)

    def _set(self, key: uuid.UUID, state: int, column: str, now: datetime) -> None:
        self._write(
            f"update purchase set state = %s, {column} = %s, changed_on = %s where id = %s",  # noqa: S608
            state, now, now, key,
        )  # fmt: skip

    def _settle(
        self, key: uuid.UUID, direction: int, amount: int, now: datetime, state: int
    ) -> None:
        self._write(
            "insert into settlement values (%s, %s, %s, %s, %s, %s, null, %s, %s, %s)",
            self._uuid(), key, direction, self._random.randint(1, 3), state, amount,
            f"ref-{self._random.getrandbits(40):x}", now if state else None, now,
        )  # fmt: skip

    def _add_article(self, number: int, now: datetime) -> None:
        kind = self._random.randint(1, 4)
        gross = self._random.randint(2, 80) * 100 - 1
        self._write(
            "insert into article values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, true, %s, %s)",
            self._uuid(), f"A{number:05}", self._faker.catch_phrase(), kind, self._faker.company(),
            self._faker.sentence(), gross, gross * 2 // 5, self._random.randint(50, 4000),
            RATES[kind], now, now,
        )  # fmt: skip

    def _add_client(self, now: datetime) -> uuid.UUID:
        key, where = self._uuid(), self._random.choice(["de_DE", "fr_FR", "nl_NL"])
        one = self._faker[where]
        states = {"de_DE": "Bayern", "fr_FR": "Bretagne", "nl_NL": "Utrecht"}
        self._write(
            "insert into client values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            key, one.first_name(), one.last_name(), f"{key.hex[:12]}@example.com", None,
            one.date_of_birth(minimum_age=18), one.street_address(), one.postcode(), one.city(),
            states[where], where[-2:], self._random.randint(0, 1), now, now,
        )  # fmt: skip
        return key

    def _change_price(self, now: datetime) -> None:
        number = self._random.randrange(len(self._articles))
        key, gross, vat = self._articles[number]
        gross = max(199, gross + self._random.choice([-100, 100]))
        self._articles[number] = (key, gross, vat)
        self._write(
            "update article set gross_minor = %s, changed_on = %s where id = %s", gross, now, key
        )

    def _forget_client(self) -> None:
        key = self._clients.pop(self._random.randrange(len(self._clients)))
        self._write("delete from client where id = %s", key)

    def _ids(self, table: str) -> list[uuid.UUID]:
        found = self._db.execute(f"select t.id from {table} as t order by t.id")  # noqa: S608
        return [key for (key,) in found]

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self._random.getrandbits(128), version=4)

    def _write(self, statement: str, *values: object) -> None:
        self.rows += self._db.execute(statement.encode(), values).rowcount


def instants(options: argparse.Namespace, now: datetime) -> Iterator[datetime]:
    """Yield when orders are placed: those of past days at once, live ones when it is their time."""
    if options.history:
        count = int(options.history * PAST_ORDERS_A_DAY)
        for number in range(count):
            yield now - timedelta(days=options.history) * (1 - number / count)
        return
    began = time.monotonic()
    number = 0
    while options.minutes is None or time.monotonic() < began + 60 * options.minutes:
        yield datetime.now(UTC)
        number += 1
        time.sleep(max(0.0, began + number / options.orders_per_second - time.monotonic()))


def main() -> None:
    """Sell, until it is over or a signal arrives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--history", type=float, help="past days to write, in place of live orders")
    parser.add_argument("--minutes", type=float, help="how long to sell; default: until stopped")
    parser.add_argument("--orders-per-second", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    def stop(*_: object) -> None:
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    now = datetime.now(UTC)
    try:
        with psycopg.connect(autocommit=True) as connection:
            shop = OtherShop(connection, options.seed)
            first = now - timedelta(days=(options.history or 0) + 1)
            shop.open(first.replace(tzinfo=None))
            for instant in instants(options, now):
                # Local time without a zone, as the shop writes it.
                shop.sell(instant.astimezone(BERLIN).replace(tzinfo=None))
                print(json.dumps({"orders": shop.orders, "rows": shop.rows}), flush=True)
    except Stopped:
        return


if __name__ == "__main__":
    main()
