"""Recommendations from a small silver: what is in whose list, and what is published."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from batch.gold.silver import pin
from batch.recommendations.history import MOST_CLICKS, History, read_history
from batch.recommendations.lists import customer_lists
from batch.recommendations.lookup import export, of_customer, of_product
from batch.recommendations.models import MODELS, Kind, scored_products, signals_of
from batch.recommendations.store import write_gold
from batch.recommendations.training import Training, train
from benchmarks.ceiling import SimulatedShop
from lakehouse.contracts.gold import RECOMMENDATION_QUALITY, RECOMMENDATIONS, TRAINED_TABLES
from lakehouse.contracts.schemas import gold_schema
from lakehouse.errors import StopPipelineError, WrongArgumentError
from tests.unit.gold_shop import NOON, LocalSilver, line, movement, order, row, visit

TASTES = 3
PRODUCTS_A_TASTE = 30
FAVOURITES = 8
CUSTOMERS = 60
NEW_CUSTOMER, NEW_PRODUCT = 900, 900


def customer(customer_id: int, **values: object) -> dict[str, object]:
    return row("enriched_users", customer_id=customer_id, **values)


def product(product_id: int, **values: object) -> dict[str, object]:
    category = f"taste {product_id % TASTES}"
    made = {"product_id": product_id, "category": category, "brand": "b", "is_active": True}
    return row("cleaned_products", **made | values)


def favourites(who: int, week: int) -> list[int]:
    """Return what a customer buys most of the time: others after a year than before."""
    first = who + (FAVOURITES if week > 30 else 0)
    return [(first + n) % PRODUCTS_A_TASTE * TASTES + who % TASTES for n in range(FAVOURITES)]


class Shop:
    """A silver in which each customer buys from one category, and some products every week."""

    def __init__(self, root: Path) -> None:
        self.silver = LocalSilver(root)
        self.random = random.Random(1)
        self.orders = 0
        self.count = TASTES * PRODUCTS_A_TASTE
        self.silver.merge("enriched_users", *map(customer, range(1, CUSTOMERS + 1)))
        self.silver.merge("cleaned_products", *map(product, range(self.count)))
        self.silver.merge(
            "cleaned_stock_movements",
            *(movement(n, "receipt", 9, product_id=n) for n in range(self.count)),
        )
        self.buy_in(range(12))
        self.buy_in(range(55, 70))

    def buy_in(self, weeks: range) -> None:
        orders, lines = [], []
        for week in weeks:
            for who in range(1, CUSTOMERS + 1):
                self.orders += 1
                at = NOON + timedelta(days=7 * week, minutes=who)
                orders.append(order(self.orders, customer_id=who, placed_at=at))
                lines += [
                    line(self.orders * 10 + n, self.orders, 100, product_id=what, created_at=at)
                    for n, what in enumerate(sorted(self._basket(who, week)))
                ]
        self.silver.merge("cleaned_sales", *orders)
        self.silver.merge("cleaned_sale_lines", *lines)

    def _basket(self, who: int, week: int) -> set[int]:
        return {
            self.random.choice(favourites(who, week))
            if self.random.random() < 0.7
            else self.random.randrange(PRODUCTS_A_TASTE) * TASTES + who % TASTES
            for _ in range(2 if week < 30 else 1)
        }

    def history(self, until: datetime | None = None) -> History:
        silver = pin(self.silver.lake, RECOMMENDATIONS.inputs, {})
        found = read_history(silver, until)
        assert found is not None
        return found

    def trained(self, until: datetime | None = None) -> Training:
        return train(self.history(until))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def before(made: Shop) -> Training:
    return made.trained()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def list_of(training: Training, customer_id: int, kind: Kind) -> list[int]:
    rows = training.recommendations.filter(customer_id=customer_id, kind=str(kind)).sort("rank")
    assert rows["rank"].to_list() == list(range(1, rows.height + 1))
    return rows["product_id"].to_list()


def test_models_that_exceed_their_baselines_are_published(before: Training) -> None:
    assert before.published == {Kind.BUY_AGAIN: "rhythm", Kind.NEW_TO_YOU: "ease"}
    assert all("exceeds" in told for told in before.verdicts())
    marked = before.recommendation_quality.filter("is_published")
    assert set(marked["model"]) == {"rhythm", "ease"}
    assert before.recommendation_quality.height == len(Kind) * len(MODELS)


@pytest.mark.long
def test_model_is_published_of_the_simulated_shop() -> None:
    """Its customers have the taste and the staples of their city."""
    history = SimulatedShop(seed=2, orders=16_000).history()
    training = train(history)
    recall = {one.model: one.quality.recall for one in training.tested if one.kind == "new_to_you"}
    assert training.published[Kind.NEW_TO_YOU] == "ease"
    assert recall["ease"] > 1.5 * recall["popularity"]


def test_baseline_is_published_where_the_model_guesses_no_better(
    made: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "ease", MODELS["random"])
    training = made.trained()
    assert training.published == {Kind.BUY_AGAIN: "rhythm", Kind.NEW_TO_YOU: "popularity"}
    assert any("does not exceed popularity" in told for told in training.verdicts())
    versions = training.recommendations.filter(kind="new_to_you")["model_version"].unique()
    assert versions.to_list() == ["popularity/1"]


def test_lists_are_of_the_customers_taste_and_never_mix(made: Shop, before: Training) -> None:
    bought = made.history().purchases
    for who in (1, 2, 3):
        has = set(bought.filter(customer_id=who)["product_id"])
        again = list_of(before, who, Kind.BUY_AGAIN)
        new = list_of(before, who, Kind.NEW_TO_YOU)
        assert set(again) <= has
        assert len(set(again[:8]) & set(favourites(who, 69))) > FAVOURITES // 2
        assert not has & set(new)
        assert {one % TASTES for one in new[:5]} == {who % TASTES}


def test_same_silver_gives_the_same_lists_and_digest(made: Shop, before: Training) -> None:
    again = made.trained()
    assert str(again.digest) == str(before.digest)
    assert again.recommendation_quality.equals(before.recommendation_quality)


def test_order_of_rows_in_silver_changes_nothing(made: Shop, before: Training) -> None:
    history = made.history()
    mixed = history.purchases.sample(fraction=1.0, shuffle=True, seed=3)
    assert str(train(replace(history, purchases=mixed)).digest) == str(before.digest)


def test_training_as_of_an_instant_reads_nothing_later(shop: Shop) -> None:
    until = NOON + timedelta(days=7 * 65)
    early = shop.trained(until)
    shop.buy_in(range(71, 73))
    shop.silver.merge(
        "cleaned_sales", order(9999, customer_id=1, placed_at=until + timedelta(days=90))
    )
    assert str(shop.trained(until).digest) == str(early.digest)
    assert early.recommendations["trained_until_at"].unique().to_list() == [until]


def test_new_customer_gets_what_is_popular(shop: Shop) -> None:
    shop.silver.merge("enriched_users", customer(NEW_CUSTOMER))
    training = shop.trained()
    assert list_of(training, NEW_CUSTOMER, Kind.BUY_AGAIN) == []
    history = shop.history()
    signals = signals_of(history, scored_products(history), seed=1)
    popular = pl.Series(signals.popularity).arg_sort(descending=True).head(5).to_list()
    listed = list_of(training, NEW_CUSTOMER, Kind.NEW_TO_YOU)
    share = [signals.popularity[one] for one in listed]
    assert len(listed) == 10
    assert share == sorted(share, reverse=True)
    assert max(share) == signals.popularity[popular[0]]


def test_new_product_is_similar_to_its_category_and_harms_no_list(shop: Shop) -> None:
    shop.silver.merge("cleaned_products", product(NEW_PRODUCT))
    shop.silver.merge(
        "cleaned_stock_movements", movement(900, "receipt", 9, product_id=NEW_PRODUCT)
    )
    training = shop.trained()
    similar = training.similar_products.filter(product_id=NEW_PRODUCT)
    assert similar.height == 10
    assert {one % TASTES for one in similar["similar_product_id"]} == {NEW_PRODUCT % TASTES}
    assert set(similar["orders_together"]) == {0}
    assert NEW_PRODUCT not in list_of(training, 1, Kind.NEW_TO_YOU)[:2]


def purchases_of(rows: list[tuple[int, int, str | None]], at: datetime) -> pl.DataFrame:
    """Return an order for each customer, product and place."""
    columns = ("customer_id", "product_id", "place")
    made = pl.DataFrame(rows, schema=columns, orient="row")
    return made.with_columns(order_id=pl.int_range(pl.len()), at=pl.lit(at))


def two_places() -> History:
    """Products 1 to 20 are bought in one city, 21 to 40 in another; 99 customers know little."""
    homes = {who: ("DE/Berlin", 0) if who % 2 else ("FR/Lyon", 20) for who in range(1, 100)}
    rows = [
        (who, first + 1 + (who // 2 + n) % 20, place)
        for who, (place, first) in homes.items()
        for n in (0, 7)
    ]
    purchases = purchases_of([*rows, (100, 1, None)], NOON)
    products = [
        {"product_id": n, "category": "c", "brand": "b", "is_offered": True} for n in range(1, 41)
    ]
    return History(
        purchases=purchases,
        interest=purchases.head(0).select("customer_id", "product_id", "at"),
        products=pl.DataFrame(products),
        customers=pl.Series("customer_id", range(1, 102)),
        until=NOON,
    )


def test_new_to_you_is_what_is_popular_where_the_customer_buys() -> None:
    history = two_places()
    signals = signals_of(history, scored_products(history), seed=1)
    new = customer_lists(signals, Kind.NEW_TO_YOU, MODELS["ease"](signals))
    listed = {who: set(rows["product_id"]) for (who,), rows in new.group_by("customer_id")}
    assert max(listed[1]) <= 20 < min(listed[2])


def test_popularity_there_is_that_everywhere_where_no_place_is_known() -> None:
    history = two_places()
    signals = signals_of(history, scored_products(history), seed=1)
    found = signals.popularity_there(np.array([0, 99, 100]))
    assert found[1:] == pytest.approx(np.tile(signals.popularity, (2, 1)))
    # 50 customers of Berlin, and 20 as they are everywhere: of these 101, 50 live there.
    berlin = signals.popularity[:20].sum()
    assert found[0, :20].sum() == pytest.approx((100 + 20 * berlin) / (50 + 20))


@pytest.mark.parametrize("model", ["ease", "rhythm"])
def test_purchases_that_are_to_be_guessed_change_no_score(model: str) -> None:
    history = two_places()
    later = purchases_of([(1, 21, "FR/Lyon"), (2, 1, "DE/Berlin")] * 50, NOON + timedelta(days=1))
    leaky = replace(history, purchases=pl.concat([history.purchases, later]))
    some = np.arange(len(history.customers))
    scores = [
        MODELS[model](signals_of(one, scored_products(one), seed=1))(some)
        for one in (history, leaky.before(NOON))
    ]
    assert np.array_equal(*scores)


def test_customer_who_deleted_the_account_is_gone(shop: Shop) -> None:
    gone = customer(1, _deleted_at=NOON)
    shop.silver.merge("enriched_users", gone)
    training = shop.trained()
    assert 1 not in set(training.recommendations["customer_id"])
    assert 1 not in set(shop.history().purchases["customer_id"])
    assert 2 in set(training.recommendations["customer_id"])


@pytest.mark.parametrize("why", ["delisted", "sold out", "deleted"])
def test_product_that_cannot_be_bought_is_recommended_to_nobody(shop: Shop, why: str) -> None:
    offered = shop.trained()
    what = list_of(offered, 1, Kind.BUY_AGAIN)[0]
    if why == "sold out":
        sale = movement(500, "sale", -9, product_id=what)
        shop.silver.merge("cleaned_stock_movements", sale)
    elif why == "delisted":
        shop.silver.merge("cleaned_products", product(what, is_active=False))
    else:
        shop.silver.merge("cleaned_products", product(what, _deleted_at=NOON))
    training = shop.trained()
    assert what not in set(training.recommendations["product_id"])
    assert what not in set(training.similar_products["similar_product_id"])
    assert list_of(training, 1, Kind.BUY_AGAIN)


def test_programs_with_ten_thousand_views_change_no_list(shop: Shop) -> None:
    before = shop.trained()
    clicks = [visit(n, "view", product_id=7, customer_id=1 + n % 2) for n in range(10_000)]
    shop.silver.merge("cleaned_interactions", *clicks)
    assert MOST_CLICKS < 10_000 / 2
    assert str(shop.trained().digest) == str(before.digest)


def test_interest_counts_once_a_product_however_often_it_was_looked_at(shop: Shop) -> None:
    shop.silver.merge("cleaned_interactions", visit(1, "view", product_id=7, customer_id=1))
    once = shop.trained()
    more = [visit(n, "view", product_id=7, customer_id=1) for n in range(2, MOST_CLICKS)]
    shop.silver.merge("cleaned_interactions", *more)
    assert str(shop.trained().digest) == str(once.digest)


def test_shop_without_purchases_has_no_history(tmp_path: Path) -> None:
    silver = LocalSilver(tmp_path)
    assert read_history(pin(silver.lake, RECOMMENDATIONS.inputs, {})) is None


@pytest.mark.parametrize("name", TRAINED_TABLES)
def test_rows_fit_their_contract(before: Training, name: str) -> None:
    rows = getattr(before, name)
    schema = gold_schema(TRAINED_TABLES[name])
    assert rows.to_arrow().cast(schema).schema.equals(schema)
    assert rows.select(TRAINED_TABLES[name].key).is_unique().all()


def test_gold_is_replaced_and_the_quality_of_earlier_trainings_stays(
    made: Shop, before: Training, tmp_path: Path
) -> None:
    lake = LocalSilver(tmp_path).lake
    early = made.trained(NOON + timedelta(days=7 * 65))
    for training in (early, before, before):
        for name, table in TRAINED_TABLES.items():
            write_gold(lake, table, getattr(training, name), {"trained/x": 3}, 24)
    lists = pl.scan_delta(lake.open("gold", RECOMMENDATIONS.name)).collect()
    assert lists.sort(RECOMMENDATIONS.key).equals(before.recommendations.sort(RECOMMENDATIONS.key))
    quality = pl.scan_delta(lake.open("gold", RECOMMENDATION_QUALITY.name)).collect()
    assert (
        quality.height == early.recommendation_quality.height + before.recommendation_quality.height
    )


@pytest.fixture
def stored(shop: Shop) -> Shop:
    """A shop with two customers who accept marketing, trained and written to gold."""
    for who in (1, 2):
        known = {"accepts_marketing": True, "email": f"{who}@example.com", "first_name": "Ada"}
        shop.silver.merge("enriched_users", customer(who, **known))
    training = shop.trained()
    for name, table in TRAINED_TABLES.items():
        write_gold(shop.silver.lake, table, getattr(training, name), {}, 24)
    return shop


def test_lists_are_shown_by_customer_and_by_product(stored: Shop) -> None:
    lists = of_customer(stored.silver.lake, 1)
    assert lists.filter(kind="buy_again")["rank"].to_list()[:3] == [1, 2, 3]
    assert set(lists["category"]) <= {f"taste {n}" for n in range(TASTES)}
    assert not of_product(stored.silver.lake, 1).is_empty()


@pytest.mark.parametrize(
    ("show", "number", "told"),
    [
        (of_customer, 999, "silver/enriched_users has no customer_id 999"),
        (of_product, 999, "silver/cleaned_products has no product_id 999"),
    ],
)
def test_unknown_customer_or_product_is_refused(
    stored: Shop, show: Callable[..., object], number: int, told: str
) -> None:
    with pytest.raises(WrongArgumentError, match=told):
        show(stored.silver.lake, number)


def test_customer_newer_than_the_training_is_told_to_train_again(stored: Shop) -> None:
    stored.silver.merge("enriched_users", customer(NEW_CUSTOMER))
    with pytest.raises(StopPipelineError, match=r"newer than the training. Train again"):
        of_customer(stored.silver.lake, NEW_CUSTOMER)


def test_nothing_is_shown_before_the_first_training(shop: Shop) -> None:
    with pytest.raises(StopPipelineError, match=r"nothing was trained yet. Train: "):
        of_customer(shop.silver.lake, 1)


@pytest.mark.parametrize("is_parquet", [False, True], ids=["csv", "parquet"])
def test_export_has_those_who_accept_marketing_and_nobody_who_left(
    stored: Shop, tmp_path: Path, *, is_parquet: bool
) -> None:
    path = tmp_path / "lists"
    stored.silver.merge("enriched_users", customer(2, _deleted_at=NOON))
    count = export(stored.silver.lake, path, is_parquet=is_parquet)
    rows = pl.read_parquet(path) if is_parquet else pl.read_csv(path)
    assert rows.height == count > 0
    assert rows["email"].unique().to_list() == ["1@example.com"]
    assert set(rows["kind"]) == {"buy_again", "new_to_you"}


def test_export_to_nowhere_says_so(stored: Shop, tmp_path: Path) -> None:
    with pytest.raises(WrongArgumentError, match=r"cannot be written: No such file.*--to"):
        export(stored.silver.lake, tmp_path / "no" / "lists.csv", is_parquet=False)
