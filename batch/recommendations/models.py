"""Models that score products for customers, and the baselines that they have to exceed.

EASE is the closed form of Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
Its input here are purchases that fade with time, interest, and what a customer buys by category and
brand. Rows are sorted and scores are rounded, so that the same history gives the same lists.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property, partial

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from batch.recommendations.history import History

MOST_PRODUCTS = 4_000
"""Products that are scored: the most bought ones. EASE inverts a matrix of their number."""
_FADES_DAYS = 200.0
"""A purchase counts 1/e of a new one after so many days."""
_INTEREST = 0.3
"""What a look at a product counts, where a new purchase counts log(2)."""
_KINDRED = 0.5
"""What the purchases in a category or of a brand count, likewise."""
_REGULARISED = 100.0
_TREND_DAYS = 28
_FEW_BUYERS = 2.0
_TREND_OF_OWN, _TREND_OF_NEW = 0.35, 0.25
"""Powers of the trend by which scores are multiplied."""
_OTHERS = 1.0
"""What EASE counts in a rhythm: customers alike buy it, too."""
_TIE = 1e-3
"""What popularity adds to own frequency: it orders products that were bought equally often."""
_PRIOR = 32.0
"""What popularity at one's places counts for a new customer; less the more products one knows."""
_FEW_OF_PLACE = 20.0
"""Popularity everywhere counts as so many customers of each place."""

Scores = NDArray[np.float64]
Positions = NDArray[np.int64]
Scorer = Callable[[Positions], Scores]
"""Returns the scores of some customers, by position, for all products."""


class Kind(StrEnum):
    """What a list is for."""

    BUY_AGAIN = "buy_again"
    NEW_TO_YOU = "new_to_you"


@dataclass(frozen=True, kw_only=True)
class Signals:
    """A history as matrices of customers by products.

    Attributes:
        customers: all customers, sorted: the rows.
        products: those that are scored, sorted, with the columns of `History.products`.
        orders: number of orders that contain the product.
        recent: days on which it was bought, each fading.
        interest: 1 where a customer looked at a product, or put it into a cart.
        places: by customer, the share of purchases at each place.
        trend: buyers of each product in the last weeks, per buyers as expected from all time.
        seed: of the random baseline.
    """

    customers: pl.Series
    products: pl.DataFrame
    orders: sp.csr_matrix
    recent: sp.csr_matrix
    interest: sp.csr_matrix
    places: sp.csr_matrix
    trend: Scores
    seed: int

    def matrix(self, rows: pl.DataFrame) -> sp.csr_matrix:
        """Return rows of `customer_id`, `product_id`, `weight` as a matrix."""
        return _matrix(self.customers, self.products["product_id"], rows)

    @cached_property
    def popularity(self) -> Scores:
        """Return the share of customers who bought each product."""
        return np.asarray(self.orders.sign().sum(axis=0)).ravel() / max(len(self.customers), 1)

    @cached_property
    def _bought_there(self) -> sp.csr_matrix:
        """Return the number of customers of each place who bought each product."""
        return (self.places.T @ self.orders.sign()).tocsr()

    def popularity_there(self, some: Positions) -> Scores:
        """Return popularity at the places of some customers, that everywhere where few buy."""
        places = self.places[some]
        customers = np.asarray(self.places.sum(axis=0)).ravel()
        shares = places @ sp.diags_array(1 / (customers + _FEW_OF_PLACE))
        everywhere = 1 - places.sum(axis=1) + _FEW_OF_PLACE * shares.sum(axis=1)
        there: Scores = (shares @ self._bought_there).toarray()
        return there + np.asarray(everywhere).reshape(-1, 1) * self.popularity

    @cached_property
    def inputs(self) -> sp.csr_matrix:
        """Return what EASE learns from: a column for each product, then category, then brand."""
        bought = self.recent.log1p()
        own = bought + _INTEREST * (self.interest - self.interest.multiply(bought.sign()))
        groups = (_members(self.products[name]) for name in ("category", "brand"))
        return sp.hstack([own, *(_KINDRED * (bought @ one).log1p() for one in groups)]).tocsr()

    @cached_property
    def weights(self) -> Scores:
        """Return the weights of EASE, from each column of `inputs` to each product.

        They solve the ridge regression of each column on all others: with P the inverse of the
        regularised Gram matrix, B = I - P / diag(P).
        """
        gram = (self.inputs.T @ self.inputs).toarray()
        gram[np.diag_indices_from(gram)] += _REGULARISED
        inverse = np.linalg.inv(gram)
        found = inverse / -np.diag(inverse)
        np.fill_diagonal(found, 0.0)
        return np.ascontiguousarray(found[:, : self.products.height])


def signals_of(history: History, products: pl.DataFrame, *, seed: int) -> Signals:
    """Return the matrices of a history, for products that were chosen by `scored_products`."""
    age = (pl.lit(history.until) - pl.col("at")).dt.total_seconds() / 86_400
    days = history.purchases.group_by("customer_id", "product_id", pl.col("at").dt.date()).agg(
        (-age / _FADES_DAYS).exp().max().alias("weight")
    )
    fading = days.group_by("customer_id", "product_id").agg(pl.col("weight").sort().sum())

    pairs = history.purchases.group_by("customer_id", "product_id")
    matrix = partial(_matrix, history.customers, products["product_id"])
    looks = history.interest.select("customer_id", "product_id", weight=pl.lit(1.0)).unique()
    return Signals(
        customers=history.customers,
        products=products,
        orders=matrix(pairs.agg(weight=pl.len())),
        recent=matrix(fading),
        interest=matrix(looks),
        places=_places(history),
        trend=_trend(history, products["product_id"]),
        seed=seed,
    )


def scored_products(history: History) -> pl.DataFrame:
    """Return the most bought products, sorted; those never bought are among them if all fit."""
    bought = history.purchases.group_by("product_id").agg(lines=pl.len())
    found = history.products.join(bought, on="product_id", how="left")
    most = found.sort("lines", "product_id", descending=[True, False], nulls_last=True)
    return most.head(MOST_PRODUCTS).drop("lines").sort("product_id")


def _ease(signals: Signals) -> Scorer:
    trend = signals.trend**_TREND_OF_NEW
    known = np.asarray(signals.orders.sign().sum(axis=1))
    prior = _PRIOR / (1 + known) ** 2
    return lambda some: (
        _alike(signals, some) * trend + prior[some] * signals.popularity_there(some)
    )


def _rhythm(signals: Signals) -> Scorer:
    trend = signals.trend**_TREND_OF_OWN
    return lambda some: (signals.recent[some].toarray() + _OTHERS * _alike(signals, some)) * trend


def _alike(signals: Signals, some: Positions) -> Scores:
    found: Scores = signals.inputs[some] @ signals.weights
    return np.maximum(found, 0.0)


def _popularity(signals: Signals) -> Scorer:
    return lambda some: np.tile(signals.popularity, (len(some), 1))


def _own_frequency(signals: Signals) -> Scorer:
    return lambda some: signals.orders[some].toarray() + _TIE * signals.popularity


def _random(signals: Signals) -> Scorer:
    def scores(some: Positions) -> Scores:
        shape = (len(some), signals.products.height)
        return np.random.default_rng((signals.seed, int(some[0]))).random(shape)

    return scores


MODELS: Mapping[str, Callable[[Signals], Scorer]] = {
    "ease": _ease,
    "rhythm": _rhythm,
    "popularity": _popularity,
    "own_frequency": _own_frequency,
    "random": _random,
}
VERSIONS = {"ease": 2, "rhythm": 1, "popularity": 1, "own_frequency": 1, "random": 1}
"""Versions of the models' formulas."""
CANDIDATE: Mapping[Kind, str] = {Kind.BUY_AGAIN: "rhythm", Kind.NEW_TO_YOU: "ease"}
"""The model that is published if it exceeds its baseline."""
BASELINE: Mapping[Kind, str] = {Kind.BUY_AGAIN: "own_frequency", Kind.NEW_TO_YOU: "popularity"}


def _matrix(customers: pl.Series, products: pl.Series, rows: pl.DataFrame) -> sp.csr_matrix:
    known = rows.filter(
        pl.col("customer_id").is_in(customers.implode()),
        pl.col("product_id").is_in(products.implode()),
    ).sort("customer_id", "product_id")
    place = (
        customers.search_sorted(known["customer_id"]).to_numpy(),
        products.search_sorted(known["product_id"]).to_numpy(),
    )
    weights = known["weight"].cast(pl.Float64).to_numpy()
    return sp.csr_matrix((weights, place), shape=(len(customers), len(products)))


def _places(history: History) -> sp.csr_matrix:
    """Return the share of each customer's purchases at each place."""
    known = history.purchases.select("customer_id", "place").drop_nulls()
    pairs = known.group_by("customer_id", "place").agg(weight=pl.len())
    share = pl.col("weight") / pl.col("weight").sum().over("customer_id")
    places = pairs["place"].unique().sort()
    shares = pairs.select("customer_id", product_id="place", weight=share)
    return _matrix(history.customers, places, shares)


def _trend(history: History, products: pl.Series) -> Scores:
    """Return the trend of each product, near 1 for one that has few buyers."""
    first = history.purchases["at"].min()
    if not isinstance(first, datetime):
        return np.ones(len(products))
    start = max(first, history.until - timedelta(days=_TREND_DAYS))
    share = (history.until - start) / max(history.until - first, timedelta.resolution)
    buyers = pl.col("customer_id").n_unique()
    found = history.purchases.group_by("product_id").agg(
        all=buyers, new=pl.col("customer_id").filter(pl.col("at") > start).n_unique()
    )
    known = products.to_frame("product_id").join(
        found, on="product_id", how="left", maintain_order="left"
    )
    new, all_ = (known[name].fill_null(0).to_numpy() for name in ("new", "all"))
    return (new + _FEW_BUYERS) / (all_ * share + _FEW_BUYERS)


def _members(groups: pl.Series) -> sp.csr_matrix:
    """Return a matrix of products by groups: 1 where the product belongs to it."""
    names = groups.drop_nulls().unique().sort()
    known = groups.is_not_null().arg_true()
    place = known.to_numpy(), names.search_sorted(groups.gather(known)).to_numpy()
    return sp.csr_matrix((np.ones(len(known)), place), shape=(len(groups), len(names)))
