"""The best possible recommender, which ours are compared with: it knows the simulator's chances."""

from collections import Counter

import pytest

from batch.recommendations.models import Kind
from benchmarks.ceiling import SimulatedShop, of_seed, run
from tests.shops import play

ORDERS = 3_000


@pytest.fixture(scope="module")
def shop() -> SimulatedShop:
    return SimulatedShop(seed=1, orders=ORDERS)


def test_chances_are_those_with_which_the_simulator_draws(shop: SimulatedShop) -> None:
    customer = next(one for one in shop.shop.customers if one.customer_id in shop.city)
    chances = shop.chances(customer.place.city, shop.shop.now)
    assert sum(chances.values()) == pytest.approx(1)
    draws = 40_000
    drawn = Counter(shop.shop.product_for(customer).product_id for _ in range(draws))
    assert drawn.keys() <= {key for key, chance in chances.items() if chance > 0}
    # Five standard deviations of a binomial count.
    assert all(
        abs(drawn[key] - draws * chance) < 5 * (draws * chance) ** 0.5 + 1
        for key, chance in chances.items()
    )


def test_shop_in_memory_sells_what_the_simulator_sells(shop: SimulatedShop) -> None:
    tables = play(seed=1, orders=ORDERS).current
    orders = tables["orders"]
    pairs = {
        (line["order_id"], line["product_id"])
        for line in tables["order_lines"].values()
        if orders[line["order_id"]]["customer_id"] is not None
    }
    assert set(shop.history().purchases.select("order_id", "product_id").rows()) == pairs


def test_new_to_you_is_between_popularity_and_the_best_possible() -> None:
    recall = {(kind, model): value for kind, model, value in of_seed(2, ORDERS)}
    new, again = Kind.NEW_TO_YOU, Kind.BUY_AGAIN
    assert recall[new, "popularity"] < recall[new, "ease"] < recall[new, "best possible"]
    # Hardly anybody bought more than ten products: every list of them has them all.
    assert recall[again, "rhythm"] == pytest.approx(recall[again, "best possible"], rel=0.05)


def test_shares_of_the_best_possible_are_of_means_over_seeds() -> None:
    rows = run(seeds=2, orders=1_000)["quality"]
    assert isinstance(rows, list)
    assert len(rows) == 3 * len(Kind)
    assert {row["of_best"] for row in rows if row["model"] == "best possible"} == {"1.00"}
