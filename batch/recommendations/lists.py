"""Lists: the best products of each customer, and products that are often bought together."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from batch.recommendations.history import History
from batch.recommendations.models import Kind, Positions, Scorer, Scores, Signals

LENGTH = 10
_MILLION = 1e6
_AT_ONCE = 2_048
NOTHING = np.iinfo(np.int64).min
_FEWEST_TOGETHER = 2
"""Orders that must contain both products: one is chance."""
_POSITIONS = 2**13
"""More than products are scored: a rounded score and a position fit into one number."""


def batches(positions: Positions) -> Iterator[Positions]:
    """Yield positions, some at a time, so that memory holds few rows of scores."""
    for start in range(0, len(positions), _AT_ONCE):
        yield positions[start : start + _AT_ONCE]


def best(scores: Scores, allowed: NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """Return positions and millionths of the best allowed scores of each row, best first.

    Equal scores are ordered by position. Millionths are `NOTHING` where fewer are allowed.
    """
    length = min(LENGTH, scores.shape[1])
    millionths = np.rint(scores * _MILLION).astype(np.int64)
    keys = millionths * _POSITIONS - np.arange(scores.shape[1])
    keys[~allowed] = NOTHING
    found = np.argpartition(-(keys + 1), length - 1, axis=1)[:, :length]
    order = np.argsort(-(np.take_along_axis(keys, found, 1) + 1), axis=1, kind="stable")
    found = np.take_along_axis(found, order, 1)
    is_allowed = np.take_along_axis(allowed, found, 1)
    return found, np.where(is_allowed, np.take_along_axis(millionths, found, 1), NOTHING)


def allowed_products(
    signals: Signals, kind: Kind, some: Positions, offered: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which products may be in the lists of some customers."""
    has_bought = signals.orders[some].toarray() > 0
    found: NDArray[np.bool_] = has_bought if kind is Kind.BUY_AGAIN else ~has_bought
    return found & offered


def customer_lists(signals: Signals, kind: Kind, scorer: Scorer) -> pl.DataFrame:
    """Return the lists of all customers: `customer_id`, `rank`, `product_id`, score."""
    offered = signals.products["is_offered"].to_numpy()
    frames = []
    for some in batches(np.arange(len(signals.customers))):
        found = best(scorer(some), allowed_products(signals, kind, some, offered))
        frames.append(_frame("customer_id", signals.customers.gather(some), found, signals))
    return pl.concat(frames) if frames else _frame("customer_id", signals.customers, None, signals)


def similar_products(history: History, signals: Signals) -> pl.DataFrame:
    """Return for each product those that are in the same orders, then the popular of its category.

    Score: the cosine of the products' orders; a product of which too little is known has none.
    """
    products = signals.products
    together = _together(history, products["product_id"])
    alone = np.sqrt(np.maximum(together.diagonal(), 1.0))
    category = products["category"].fill_null("").rank("dense").to_numpy()
    offered = products["is_offered"].to_numpy()
    frames = []
    for some in batches(np.arange(products.height)):
        both = together[some].toarray()
        both[both < _FEWEST_TOGETHER] = 0.0
        cosine = np.rint(both / alone[some, None] / alone * _MILLION)
        is_kin = category[some, None] == category
        is_other = some[:, None] != np.arange(products.height)
        # Popularity is below any cosine: it only orders products without one.
        scores = np.where(both > 0, cosine + 1, signals.popularity)
        found, rough = best(scores, ((both > 0) | is_kin) & is_other & offered)
        score = np.where(rough == NOTHING, NOTHING, np.take_along_axis(cosine, found, 1))
        rows = _frame(
            "of", products["product_id"].gather(some), (found, score.astype(np.int64)), signals
        )
        counts = np.take_along_axis(both, found, 1)[rough != NOTHING].astype(np.int64)
        frames.append(rows.with_columns(orders_together=pl.Series(counts)))
    return pl.concat(frames).select(
        pl.col("of").alias("product_id"), "rank", similar_product_id="product_id",
        orders_together="orders_together", score_millionths="score_millionths",
    )  # fmt: skip


def _together(history: History, ids: pl.Series) -> sp.csr_matrix:
    """Return how many orders contain both of two products; of one, how many contain it."""
    lines = history.purchases.filter(pl.col("product_id").is_in(ids.implode()))
    orders = lines["order_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    place = orders, ids.search_sorted(lines["product_id"]).to_numpy()
    shape = (int(orders.max(initial=-1)) + 1, len(ids))
    contains = sp.csr_matrix((np.ones(lines.height), place), shape=shape)
    return (contains.T @ contains).tocsr()


def _frame(
    name: str, ids: pl.Series, found: tuple[Positions, Positions] | None, signals: Signals
) -> pl.DataFrame:
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        name: ids.dtype,
        "rank": pl.Int64,
        "product_id": signals.products["product_id"].dtype,
        "score_millionths": pl.Int64,
    }
    if found is None:
        return pl.DataFrame(schema=schema)
    places, millionths = found
    is_listed = millionths != NOTHING
    row, column = np.nonzero(is_listed)
    return pl.DataFrame(
        {
            name: ids.gather(row),
            "rank": column + 1,
            "product_id": signals.products["product_id"].gather(places[is_listed]),
            "score_millionths": millionths[is_listed],
        },
        schema=schema,
    )
