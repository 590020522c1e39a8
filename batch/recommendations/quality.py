"""Quality of lists: what customers bought later, compared with what the lists had guessed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp

from batch.recommendations.lists import LENGTH, NOTHING, allowed_products, batches, best
from batch.recommendations.models import Kind, Positions, Scorer, Scores, Signals

_MOST_TESTED = 10_000
_NONE: Scores = np.empty(0)

_DISCOUNT = 1 / np.log2(np.arange(LENGTH) + 2)
_IDEAL = np.cumsum(_DISCOUNT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Measures of one model's lists of one kind, means over the tested customers.

    Attributes:
        customers: those who bought something of the kind later.
        recall: guessed products per product to be guessed, at most 10 of each.
        ndcg: the same, where a higher rank counts more, from 0 to 1.
        coverage: share of the products that are in at least one list.
        novelty: bits: -log2 of the share of customers who bought a listed product.
    """

    customers: int
    recall: float
    ndcg: float
    coverage: float
    novelty: float


def later_purchases(signals: Signals, purchases: pl.DataFrame, kind: Kind) -> sp.csr_matrix:
    """Return what has to be guessed: purchases; of `new_to_you`, those of products never bought.

    Of customers who had bought something before: others have no rhythm, and no taste.
    """
    pairs = purchases.select("customer_id", "product_id", weight=pl.lit(1.0)).unique()
    found = signals.matrix(pairs)
    if kind is Kind.NEW_TO_YOU:
        found = found - found.multiply(signals.orders.sign())
    has_bought = np.asarray(signals.orders.sum(axis=1)).ravel() > 0
    found = sp.diags_array(has_bought.astype(np.float64)) @ found
    found.eliminate_zeros()
    return sp.csr_matrix(found)


def measured(signals: Signals, relevant: sp.csr_matrix, kind: Kind, scorer: Scorer) -> Quality:
    """Measure a model that was made from a history before the relevant purchases."""
    offered = np.ones(signals.products.height, dtype=np.bool_)
    share = np.maximum(signals.popularity, 1 / max(len(signals.customers), 1))
    recall, ndcg, bits = [_NONE], [_NONE], [_NONE]
    listed = np.zeros(signals.products.height, dtype=np.bool_)
    for some in batches(_tested(relevant)):
        wanted = relevant[some].toarray() > 0
        found, score = best(scorer(some), allowed_products(signals, kind, some, offered))
        is_listed = score != NOTHING
        hit = np.take_along_axis(wanted, found, 1) & is_listed
        most = np.minimum(wanted.sum(axis=1), LENGTH)
        recall.append(hit.sum(axis=1) / most)
        ndcg.append((hit * _DISCOUNT[: hit.shape[1]]).sum(axis=1) / _IDEAL[most - 1])
        listed[found[is_listed]] = True
        bits.append(-np.log2(share[found[is_listed]]))
    return Quality(
        customers=sum(map(len, recall)),
        recall=_mean(recall),
        ndcg=_mean(ndcg),
        coverage=float(listed.mean()) if len(listed) else 0.0,
        novelty=_mean(bits),
    )


def _tested(relevant: sp.csr_matrix) -> Positions:
    """Return the customers with something to be guessed; of many, evenly spread ones."""
    found = np.flatnonzero(np.diff(relevant.indptr))
    return found[:: -(-len(found) // _MOST_TESTED) or 1]


def _mean(parts: Sequence[Scores]) -> float:
    values = np.concatenate(parts)
    return float(values.mean()) if len(values) else 0.0
