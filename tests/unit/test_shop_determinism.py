"""The same seed and count give the same shop, however it is cut and whenever it happens."""

from datetime import UTC, datetime

import pytest

from producers.demand import LiveClock
from tests.shops import play

ORDERS = 600


def without_instants(tables):
    return {
        table: {
            key: [
                row and {c: v for c, v in row.items() if not c.endswith(("_at", "birth_date"))}
                for row in versions
            ]
            for key, versions in rows.items()
        }
        for table, rows in tables.versions.items()
    }


@pytest.fixture(scope="module")
def shop():
    return play(seed=7, orders=ORDERS, dirt_percent=3)


def test_the_same_seed_and_count_give_the_same_shop(shop):
    again = play(seed=7, orders=ORDERS, dirt_percent=3)
    assert again.versions == shop.versions
    assert again.dirt == shop.dirt


def test_another_seed_gives_other_orders():
    def totals(seed):
        return [
            row["total_amount"] for row in play(seed=seed, orders=50).current["orders"].values()
        ]

    assert totals(7) != totals(8)


@pytest.mark.parametrize("changes", [1, 7, 100_000])
def test_the_size_of_transactions_changes_nothing(shop, changes):
    cut = play(seed=7, orders=ORDERS, dirt_percent=3, changes=changes)
    assert cut.transactions != shop.transactions
    assert cut.versions == shop.versions
    assert sorted(map(str, cut.dirt)) == sorted(map(str, shop.dirt))


@pytest.mark.parametrize("rate", [0.5, 300.0])
def test_live_at_any_rate_the_same_happens_as_in_the_past(shop, rate):
    clock = LiveClock(start=datetime(2030, 1, 1, tzinfo=UTC), moment=0.0, rate=rate)
    live = play(seed=7, orders=ORDERS, dirt_percent=3, clock=clock)
    assert without_instants(live) == without_instants(shop)
