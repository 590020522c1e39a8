"""How close our lists come to the best possible ones, on the simulated shop, whose taste is known.

The best recommender knows what the simulator draws from: the probability of each product for who
lives in a city, among the products on sale when the test begins. Draws do not depend on each
other, so no list has a greater expected recall than the most probable products; that something is
sold out later is left to chance. Cut, lists and measures are those of a training. One shop for each
seed; means, and the standard deviation over the seeds.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from batch.recommendations.history import History, test_window
from batch.recommendations.models import (
    BASELINE,
    CANDIDATE,
    MODELS,
    Kind,
    Scores,
    Signals,
    scored_products,
    signals_of,
)
from batch.recommendations.quality import later_purchases, measured
from batch.recommendations.training import SEED, TEST_DAYS
from producers.demand import HistoryClock, Popularity, product_weight
from producers.engine import Limits, advance, make_shop
from producers.keys import Keys
from producers.maintenance import begin_maintenance
from producers.seed_data import KEYS_NEEDED, open_shop
from producers.shop import OF_TASTE, STAPLE, STAPLES, TASTES, taste_of
from producers.visits import open_doors

SMALL = {"seeds": 1, "orders": 8_000}
SEEDS = 5
ORDERS = 16_000
_DAYS = 21
_STOP = datetime(2026, 11, 23, tzinfo=UTC)
_STEP_CHANGES = 1_000


class SimulatedShop:
    """A shop played in memory: what a training reads of it, and what it draws from."""

    def __init__(self, *, seed: int, orders: int) -> None:
        self.on_sale: list[tuple[datetime, list[int]]] = []
        self.city: dict[int, str] = {}
        self._orders: dict[int, Any] = {}
        self._lines: dict[int, Any] = {}
        self._products: dict[int, Any] = {}
        self._play(seed, orders)

    def _play(self, seed: int, orders: int) -> None:
        keys = Keys()
        handed_out: dict[str, int] = {}
        shop = self.shop = make_shop(
            seed=seed, orders_before=0, dirt_percent=0, base_currency="EUR", keys=keys
        )
        start = _STOP - timedelta(days=_DAYS)
        zone = ZoneInfo("Europe/Paris")
        clock = HistoryClock(start=start, stop=_STOP, orders=orders, zone=zone)
        _fill(keys, handed_out, KEYS_NEEDED)
        shop.day_length, shop.now = orders / _DAYS, clock.instant(0)
        open_shop(shop)
        begin_maintenance(shop)
        open_doors(shop)
        limits = Limits(until=math.inf, orders=orders, changes=_STEP_CHANGES)
        while shop.orders_placed < orders:
            advance(shop, clock, limits)
            changes = shop.take_changes()
            inserts: Mapping[str, Sequence[Any]] = changes.inserts
            self.city |= {row.customer_id: row.city for row in inserts["customers"]}
            self._orders |= {row.order_id: row for row in inserts["orders"]}
            self._products |= {row.product_id: row for row in inserts["products"]}
            self._lines |= {row.order_line_id: row for row in inserts["order_lines"]}
            held: dict[str, dict[int, Any]] = {"customers": self.city, "order_lines": self._lines}
            for statement in changes.statements:
                if statement.kind == "delete" and statement.table in held:
                    for row in statement.rows:
                        held[statement.table].pop(row[0], None)
            self.on_sale.append((shop.now, [one.product_id for one in shop.products]))
            _fill(keys, handed_out)

    def history(self) -> History:
        """Return what silver would give to a training."""
        orders = self._orders
        lines = [
            (order.customer_id, line.product_id, line.order_id, order.placed_at, order.ship_city)
            for line in self._lines.values()
            if (order := orders[line.order_id]).customer_id in self.city
        ]
        columns = ("customer_id", "product_id", "order_id", "at", "place")
        purchases = pl.DataFrame(lines, schema=columns, orient="row").unique(columns[1:3])
        products = [
            {"product_id": key, "category": row.category, "brand": row.brand, "is_offered": True}
            for key, row in sorted(self._products.items())
        ]
        return History(
            purchases=purchases.sort("customer_id", "order_id", "product_id"),
            interest=purchases.head(0).select("customer_id", "product_id", "at"),
            products=pl.DataFrame(products),
            customers=pl.Series("customer_id", sorted(self.city)),
            until=max(line[3] for line in lines),
        )

    def chances(self, city: str, at: datetime) -> dict[int, float]:
        """Return the probability with which `Shop.product_for` draws each product at an instant."""
        products = [ids for instant, ids in self.on_sale if instant <= at][-1]
        weights = [product_weight(one) for one in products]
        found = dict.fromkeys(products, 0.0)
        popularity = Popularity(weights)
        for number in range(STAPLES):
            share = crc32(city.encode(), number) / 2**32
            found[products[popularity.at(share)]] += STAPLE / STAPLES
        taste = taste_of(city)
        of_taste = sum(
            weight for one, weight in zip(products, weights, strict=True) if one % TASTES == taste
        )
        for one, weight in zip(products, weights, strict=True):
            found[one] += (1 - STAPLE - OF_TASTE) * weight / sum(weights)
            if one % TASTES == taste:
                found[one] += OF_TASTE * weight / of_taste
        return found


def _fill(keys: Keys, handed_out: dict[str, int], at_least: int = 64) -> None:
    for table, count in keys.wanted(at_least).items():
        first = handed_out.get(table, 0) + 1
        handed_out[table] = first + count - 1
        keys.add(table, range(first, first + count))


def best_possible(shop: SimulatedShop, signals: Signals, at: datetime) -> Scores:
    """Return the scores of the best recommender: a row for each customer."""
    ids = signals.products["product_id"].to_list()
    of_city = {
        city: [chances.get(one, 0.0) for one in ids]
        for city in set(shop.city.values())
        if (chances := shop.chances(city, at))
    }
    return np.array([of_city[shop.city[one]] for one in signals.customers])


def of_seed(seed: int, orders: int) -> Iterator[tuple[Kind, str, float]]:
    """Play a shop; yield the recall@10 of each list by our model, its baseline and the best."""
    shop = SimulatedShop(seed=seed, orders=orders)
    history = shop.history()
    start = test_window(history, TEST_DAYS)
    past = history.before(start)
    later = history.purchases.filter(pl.col("at") > start)
    signals = signals_of(past, scored_products(past), seed=SEED)
    best = best_possible(shop, signals, start)
    for kind in Kind:
        relevant = later_purchases(signals, later, kind)
        scorers = {name: MODELS[name](signals) for name in (CANDIDATE[kind], BASELINE[kind])}
        for name, scorer in {**scorers, "best possible": lambda some: best[some]}.items():
            yield kind, name, measured(signals, relevant, kind, scorer).recall


def run(seeds: int = SEEDS, orders: int = ORDERS) -> dict[str, object]:
    """Return for each list the recall@10 of each model, and its share of the best possible."""
    found: dict[tuple[Kind, str], list[float]] = {}
    for seed in range(1, seeds + 1):
        for kind, model, recall in of_seed(seed, orders):
            found.setdefault((kind, model), []).append(recall)
    rows = []
    for (kind, model), recalls in found.items():
        best = statistics.mean(found[kind, "best possible"])
        rows.append({
            "list": str(kind),
            "model": model,
            "recall": f"{statistics.mean(recalls):.4f}",
            "spread": f"{statistics.stdev(recalls) if seeds > 1 else 0:.4f}",
            "of_best": f"{statistics.mean(recalls) / best:.2f}",
        })  # fmt: skip
    return {"seeds": seeds, "orders": orders, "quality": rows}
