"""A training: models are tested on the newest purchases, then the better ones make the lists."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from batch.recommendations.history import History, test_window
from batch.recommendations.lists import customer_lists, similar_products
from batch.recommendations.models import (
    BASELINE,
    CANDIDATE,
    MODELS,
    VERSIONS,
    Kind,
    scored_products,
    signals_of,
)
from batch.recommendations.quality import Quality, later_purchases, measured
from lakehouse.contracts.gold import RECOMMENDATION_QUALITY, RECOMMENDATIONS, SIMILAR_PRODUCTS
from lakehouse.digest import Digest, digest

TEST_DAYS = 28
SEED = 7
_TOGETHER = "together/1"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """How good a model is at guessing what customers bought later."""

    kind: Kind
    model: str
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Rows of the three gold tables, and what was decided.

    Attributes:
        published: the model of each kind's lists.
        tested: all models, tested.
    """

    recommendations: pl.DataFrame
    similar_products: pl.DataFrame
    recommendation_quality: pl.DataFrame
    published: dict[Kind, str]
    tested: list[Tested]
    until: datetime

    @property
    def digest(self) -> Digest:
        """Return the digest of both lists: the same silver gives the same."""
        of_customers, of_products = self.recommendations.lazy(), self.similar_products.lazy()
        return digest(of_customers).plus(digest(of_products))

    def verdicts(self) -> Iterator[str]:
        """Yield for each kind which model was published, and why."""
        found = {(one.kind, one.model): one.quality for one in self.tested}
        for kind, model in self.published.items():
            candidate, baseline = CANDIDATE[kind], BASELINE[kind]
            ours, theirs = found[kind, candidate].recall, found[kind, baseline].recall
            what = "exceeds" if model == candidate else "does not exceed"
            yield (
                f"{kind}: {model} is published: {candidate} (recall@10 {ours:.4f}) {what} "
                f"{baseline} ({theirs:.4f})"
            )


def train(
    history: History, *, seed: int = SEED, on_progress: Progress = lambda _what: None
) -> Training:
    """Test all models, then make the lists with the better ones from the whole history."""
    start = test_window(history, TEST_DAYS)
    tested = list(backtest(history, start, seed=seed, on_progress=on_progress))
    found = {(one.kind, one.model): one.quality for one in tested}
    published = {
        kind: CANDIDATE[kind]
        if found[kind, CANDIDATE[kind]].recall > found[kind, BASELINE[kind]].recall
        else BASELINE[kind]
        for kind in Kind
    }
    on_progress("making the lists")
    signals = signals_of(history, scored_products(history), seed=seed)
    until = pl.lit(history.until).cast(pl.Datetime("us", "UTC")).alias("trained_until_at")
    lists = [
        customer_lists(signals, kind, MODELS[model](signals)).with_columns(
            kind=pl.lit(str(kind)), model_version=pl.lit(_version(model))
        )
        for kind, model in published.items()
    ]
    similar = similar_products(history, signals).with_columns(model_version=pl.lit(_TOGETHER))
    return Training(
        recommendations=pl.concat(lists).with_columns(until).select(RECOMMENDATIONS.names),
        similar_products=similar.with_columns(until).select(SIMILAR_PRODUCTS.names),
        recommendation_quality=_quality(tested, published, start)
        .with_columns(until)
        .select(RECOMMENDATION_QUALITY.names),
        published=published,
        tested=tested,
        until=history.until,
    )


def backtest(
    history: History,
    start: datetime,
    *,
    seed: int = SEED,
    on_progress: Progress = lambda _what: None,
) -> Iterator[Tested]:
    """Make all models from purchases until an instant, and measure them on the later ones."""
    past = history.before(start)
    later = history.purchases.filter(pl.col("at") > start)
    signals = signals_of(past, scored_products(past), seed=seed)
    for kind in Kind:
        relevant = later_purchases(signals, later, kind)
        for model, fit in MODELS.items():
            on_progress(f"testing {model} on {kind}")
            quality = measured(signals, relevant, kind, fit(signals))
            yield Tested(kind=kind, model=model, quality=quality)


def _quality(tested: list[Tested], published: dict[Kind, str], start: datetime) -> pl.DataFrame:
    rows = [
        {
            "kind": str(one.kind),
            "model": one.model,
            "is_published": published[one.kind] == one.model,
            "customers": one.quality.customers,
            "recall_basis_points": round(one.quality.recall * 10_000),
            "ndcg_basis_points": round(one.quality.ndcg * 10_000),
            "coverage_basis_points": round(one.quality.coverage * 10_000),
            "novelty_centibits": round(one.quality.novelty * 100),
            "model_version": _version(one.model),
        }
        for one in tested
    ]
    at = pl.lit(start).cast(pl.Datetime("us", "UTC")).alias("tested_from_at")
    return pl.DataFrame(rows).with_columns(at)


def _version(model: str) -> str:
    return f"{model}/{VERSIONS[model]}"
