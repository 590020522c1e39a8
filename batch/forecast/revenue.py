"""Net revenue of the next days: by a model, and by the same weekday of last week.

Both are tested on the newest days, which are hidden from them. The model is published only if it is
closer to these days than the same weekday of last week. The same days give the same forecast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import numpy as np

DAYS = 14
"""Days that are forecast, and days that are hidden in the test."""
FEWEST_DAYS = 28 + DAYS
MOST_DAYS = 2 * 365
"""Older days change a forecast little, and take time."""
_WEEK = 7
_LEVELS = (80, 95)


class Method(StrEnum):
    """How days are forecast."""

    MODEL = "exponential_smoothing"
    """Error, trend and weekday, each additive, multiplicative or absent, as AICc chooses."""
    NAIVE = "same_weekday"
    """As on the same weekday of the last known week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revenue:
    """Net revenue of complete days in a row; a day without an order has 0.

    Attributes:
        last_date: the newest complete day.
        cents: by day, the oldest first.
    """

    last_date: date
    cents: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of a forecast: net revenue, and the intervals that hold it in 80 and 95 % of days."""

    forecast_date: date
    net_revenue_cents: int
    low_80_cents: int
    high_80_cents: int
    low_95_cents: int
    high_95_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """How close a method was to the hidden days.

    Attributes:
        method: what was tested.
        error_cents: sum of the absolute errors.
        revenue_cents: net revenue of the hidden days.
        within_80_days: hidden days within their interval of 80 %.
        within_95_days: the same of 95 %.
    """

    method: Method
    error_cents: int
    revenue_cents: int
    within_80_days: int
    within_95_days: int

    @property
    def error(self) -> float | None:
        """Return the error as a share of revenue; None without revenue."""
        return self.error_cents / self.revenue_cents if self.revenue_cents > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The days after the newest complete one, by the published method."""

    trained_until: date
    method: Method
    days: Sequence[Day]
    tested: Sequence[Tested]

    @property
    def verdict(self) -> str:
        """Return what is published, and why."""
        model, naive = (
            "not measurable" if one.error is None else f"{one.error:.1%}" for one in self.tested
        )
        if self.method is Method.MODEL:
            return (
                f"Exponential smoothing is published: its error on the last {DAYS} days was "
                f"{model}, that of the same weekday of last week {naive}."
            )
        return (
            f"The same weekday of last week is published: its error on the last {DAYS} days was "
            f"{naive}, that of exponential smoothing {model}, which is not less."
        )


def forecast(revenue: Revenue) -> Forecast | None:
    """Test both methods, and forecast with the better one; None with less than `FEWEST_DAYS`."""
    cents = revenue.cents[-MOST_DAYS:]
    if len(cents) < FEWEST_DAYS:
        return None
    known, hidden = cents[:-DAYS], cents[-DAYS:]
    hidden_from = revenue.last_date - timedelta(days=DAYS)
    tested = [_tested(one, _days(one, known, hidden_from), hidden) for one in Method]
    model, naive = tested
    method = Method.MODEL if model.error_cents < naive.error_cents else Method.NAIVE
    return Forecast(
        trained_until=revenue.last_date,
        method=method,
        days=_days(method, cents, revenue.last_date),
        tested=tested,
    )


def _tested(method: Method, days: Sequence[Day], hidden: Sequence[int]) -> Tested:
    pairs = list(zip(days, hidden, strict=True))
    return Tested(
        method=method,
        error_cents=sum(abs(day.net_revenue_cents - cents) for day, cents in pairs),
        revenue_cents=sum(hidden),
        within_80_days=sum(day.low_80_cents <= cents <= day.high_80_cents for day, cents in pairs),
        within_95_days=sum(day.low_95_cents <= cents <= day.high_95_cents for day, cents in pairs),
    )


def _days(method: Method, cents: Sequence[int], last: date) -> list[Day]:
    found = _predicted(method, cents)
    # Revenue after discounts is never negative.
    whole = {name: np.rint(np.maximum(values, 0)).astype(int) for name, values in found.items()}
    return [
        Day(
            forecast_date=last + timedelta(days=n + 1),
            net_revenue_cents=int(whole["mean"][n]),
            low_80_cents=int(whole["lo-80"][n]),
            high_80_cents=int(whole["hi-80"][n]),
            low_95_cents=int(whole["lo-95"][n]),
            high_95_cents=int(whole["hi-95"][n]),
        )
        for n in range(DAYS)
    ]


def _predicted(method: Method, cents: Sequence[int]) -> Mapping[str, Any]:
    # It takes seconds to import, which only a forecast should wait for.
    from statsforecast.models import AutoETS, SeasonalNaive  # noqa: PLC0415

    model = (AutoETS if method is Method.MODEL else SeasonalNaive)(season_length=_WEEK)
    # Models that do not fit the days are divided by zero, and then not chosen.
    with np.errstate(all="ignore"):
        found: Mapping[str, Any] = model.forecast(
            np.asarray(cents, dtype=float), h=DAYS, level=list(_LEVELS)
        )
    return found
