"""Recommendations on public data: our models beside baselines and a library's item-item model.

Purchases: completejourney, 1.47 M lines of 2,469 households in 2017; made from all before a month,
measured on that month. Ratings: MovieLens (671 users), those of 4 stars and more; a fifth of each
user's, chosen by a seed, is hidden. Settings were chosen on November; December is the test.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp

from batch.recommendations.history import History
from batch.recommendations.models import (
    MODELS,
    Kind,
    Positions,
    Scorer,
    Scores,
    Signals,
    scored_products,
    signals_of,
)
from batch.recommendations.quality import Quality, later_purchases, measured
from batch.recommendations.training import SEED
from benchmarks.peer_environment import peer_environment
from lakehouse.environment import process_environment
from lakehouse.settings import ROOT, StackSettings
from stack.paths import Cache

SMALL: Mapping[str, object] = {}
MONTHS = {
    "november": (datetime(2017, 11, 1, tzinfo=UTC), datetime(2017, 12, 1, tzinfo=UTC)),
    "december": (datetime(2017, 12, 1, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)),
}
_PROGRAM = "benchmarks.peer_programs.recommendations"
_LIKED = 4.0
_HIDDEN = 0.2
_BETA = 0.4
"""By how much RP3β divides by the popularity of the item, as a power: chosen on another split."""
Rows = list[dict[str, object]]


def run() -> dict[str, object]:
    """Make and measure all models, in a process of its own.

    Returns:
        Its seconds, processor seconds and peak memory, and a row for each data set, list and model.
    """
    folder = peer_environment(Cache(root=StackSettings().cache_dir), "recommendations")
    with tempfile.TemporaryDirectory(prefix="recommendations-") as work:
        _call([folder / "bin" / "python", "-m", _PROGRAM, "data", work])
        _call([sys.executable, "-m", __name__, "train", work])
        for name in ("december", "movielens"):
            _call([folder / "bin" / "python", "-m", _PROGRAM, "lists", work, name])
        found = _call([sys.executable, "-m", __name__, "measure", work])
    result: dict[str, object] = json.loads(found)
    return result


def _call(command: list[str | Path]) -> str:
    env = process_environment()
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        message = f"{' '.join(map(str, command))} ended with {done.returncode}"
        raise RuntimeError(message)
    return done.stdout


class _Case:
    """Data, cut into what models may read and what they have to guess."""

    def __init__(self, name: str, past: History, later: pl.DataFrame) -> None:
        self.name = name
        self.later = later
        self.signals = signals_of(past, scored_products(past), seed=SEED)

    def write(self, folder: Path) -> None:
        """Write what was bought, by position, for the library's model."""
        row, column = self.signals.orders.nonzero()
        pl.DataFrame({"row": row, "column": column}).write_parquet(
            folder / f"{self.name}_train.parquet"
        )

    def measure(self, folder: Path) -> Iterator[dict[str, object]]:
        """Yield a row for each list and model."""
        others = {"item-item (implicit)": _read(folder, self), "RP3beta": _rp3beta(self.signals)}
        ours = {name: fit(self.signals) for name, fit in MODELS.items()}
        for kind in Kind:
            relevant = later_purchases(self.signals, self.later, kind)
            if not relevant.nnz or (kind is Kind.BUY_AGAIN and self.name == "movielens"):
                continue
            models = ours if kind is Kind.BUY_AGAIN else {**ours, **others}
            for model, scorer in models.items():
                began = time.process_time()
                found = measured(self.signals, relevant, kind, scorer)
                yield _row(self.name, kind, model, found, time.process_time() - began)


def _row(data: str, kind: Kind, model: str, found: Quality, seconds: float) -> dict[str, object]:
    return {
        "data": data,
        "list": str(kind),
        "model": model,
        "customers": found.customers,
        "recall": f"{found.recall:.4f}",
        "ndcg": f"{found.ndcg:.4f}",
        "coverage": f"{found.coverage:.3f}",
        "novelty": f"{found.novelty:.2f}",
        "cpu_seconds": round(seconds, 1),
    }


def _purchases(folder: Path, month: str) -> _Case:
    start, stop = MONTHS[month]
    at = pl.col("transaction_timestamp").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    lines = pl.read_parquet(folder / "purchases.parquet").select(
        customer_id="household_id", product_id="product_id", order_id="basket_id", at=at,
        place=pl.col("store_id").cast(pl.String),
    )  # fmt: skip
    lines = lines.filter(pl.col("at") < stop).unique(["order_id", "product_id"])
    group = pl.concat_str("product_category", "manufacturer_id", separator="|")
    products = pl.read_parquet(folder / "products.parquet").select(
        "product_id", category="product_type", brand=group
    )
    return _case(month, lines, products, start)


def _case(name: str, lines: pl.DataFrame, products: pl.DataFrame, start: datetime) -> _Case:
    lines = lines.sort("customer_id", "order_id", "product_id")
    known = lines.select("product_id").unique().join(products, on="product_id", how="left")
    history = History(
        purchases=lines.filter(pl.col("at") < start),
        interest=lines.head(0).select("customer_id", "product_id", "at"),
        products=known.with_columns(is_offered=pl.lit(value=True)).sort("product_id"),
        customers=lines["customer_id"].unique().sort(),
        until=start,
    )
    return _Case(name, history, lines.filter(pl.col("at") >= start))


def _ratings(folder: Path) -> _Case:
    liked = pl.read_parquet(folder / "ratings.parquet").filter(pl.col("rating") >= _LIKED)
    liked = liked.sort("userId", "movieId")
    is_hidden = np.random.default_rng(SEED).random(liked.height) < _HIDDEN
    cut = MONTHS["november"][0]
    lines = liked.select(
        customer_id="userId", product_id="movieId", order_id="userId",
        at=pl.when(pl.Series(is_hidden)).then(pl.lit(cut)).otherwise(
            pl.lit(cut - timedelta.resolution)  # nothing fades
        ),
        place=pl.lit(None, pl.String),
    )  # fmt: skip
    none = pl.DataFrame(schema={"product_id": pl.Int64, "category": pl.String, "brand": pl.String})
    return _case("movielens", lines, none, cut)


def _read(folder: Path, case: _Case) -> Scorer:
    """Return the library's lists as scores: the best is 1, what it does not list is nearly 0."""
    rows = pl.read_parquet(folder / f"{case.name}_lists.parquet").filter(pl.col("column") >= 0)
    place = rows["row"].to_numpy(), rows["column"].to_numpy()
    scores = 1.0 / rows["rank"].to_numpy()
    lists = sp.csr_matrix((scores, place), shape=case.signals.orders.shape)
    return lambda some: lists[some].toarray()


def _rp3beta(signals: Signals) -> Scorer:
    """Return the scores of a random walk of three steps (Paudel et al. 2017), alpha 1."""
    bought = signals.orders.sign()
    of_users = np.maximum(np.asarray(bought.sum(axis=1)).ravel(), 1.0)
    of_items = np.maximum(np.asarray(bought.sum(axis=0)).ravel(), 1.0)
    to_items = sp.diags_array(1 / of_users) @ bought
    walk = ((sp.diags_array(1 / of_items) @ bought.T) @ to_items).toarray() / of_items**_BETA

    def scores(some: Positions) -> Scores:
        found: Scores = to_items.tocsr()[some] @ walk
        return found * len(of_items)

    return scores


def _measure(folder: Path) -> dict[str, object]:
    began, used = time.monotonic(), time.process_time()
    rows: Rows = []
    for case in (_purchases(folder, "december"), _ratings(folder)):
        rows += case.measure(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "peak_rss_mb": round(peak / 1024),
        "quality": rows,
    }


def main() -> None:
    """Do one step, in a process of its own: `train` or `measure`, with the folder."""
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "train":
        for case in (_purchases(folder, "december"), _ratings(folder)):
            case.write(folder)
    else:
        sys.stdout.write(json.dumps(_measure(folder)))


if __name__ == "__main__":
    main()
