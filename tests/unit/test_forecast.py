"""Forecasts of made-up shops: which method is published, what it says of itself, how sure it is."""

from datetime import date, timedelta

import numpy as np
import pytest

from batch.forecast import revenue as module
from batch.forecast.revenue import DAYS, FEWEST_DAYS, MOST_DAYS, Method, Revenue, forecast

LAST = date(2026, 11, 29)
WEEK = np.array([1.05, 0.95, 0.95, 1.0, 1.1, 1.25, 1.3])


def of(cents) -> Revenue:
    return Revenue(last_date=LAST, cents=[round(float(one)) for one in cents])


def weekly(days: int, *, noise: float, growth: float = 0.0, seed: int = 1):
    """About 10,000.00 a day, more at weekends, that grows by a share of it a day."""
    n = np.arange(days)
    chance = np.random.default_rng(seed).normal(1, noise, days)
    return 1_000_000 * WEEK[n % 7] * (1 + growth * n) * chance


def test_model_is_published_where_noise_hides_the_weekdays():
    """Of twelve growing shops: last week has one day's noise, the model the average of many."""
    made = [forecast(of(weekly(90, noise=0.15, growth=0.01, seed=seed))) for seed in range(12)]
    assert sum(one.method is Method.MODEL for one in made) == 10
    model, naive = (np.mean([one.tested[n].error for one in made]) for n in (0, 1))
    assert (round(model, 3), round(naive, 3)) == (0.133, 0.155)
    of_one = made[1]
    assert of_one.verdict == (
        "Exponential smoothing is published: its error on the last 14 days was 10.4%, that of the "
        "same weekday of last week 12.0%."
    )


def test_forecast_follows_weekdays_and_growth():
    """Without noise the truth is known: ten weeks of it, then two to guess."""
    truth = weekly(70 + DAYS, noise=0.0, growth=0.01)
    made = forecast(of(truth[:-DAYS]))
    guessed = [day.net_revenue_cents for day in made.days]
    assert guessed == pytest.approx(truth[-DAYS:], rel=0.03)
    assert [day.forecast_date for day in made.days] == [
        LAST + timedelta(days=n) for n in range(1, DAYS + 1)
    ]


def test_same_weekday_is_published_where_it_is_closer():
    """Three steady weeks after erratic ones: what was long ago does not count any more."""
    cents = weekly(70, noise=0.0)
    cents[-DAYS:] = cents[-DAYS - 7 : -DAYS].tolist() * 2
    cents[: -DAYS - 7] *= np.random.default_rng(3).uniform(0.2, 1.8, len(cents) - DAYS - 7)
    made = forecast(of(cents))
    model, naive = made.tested
    assert naive.error_cents == 0 < model.error_cents
    assert made.method is Method.NAIVE
    assert [day.net_revenue_cents for day in made.days] == [round(one) for one in cents[-DAYS:]]
    assert made.verdict.startswith(
        "The same weekday of last week is published: its error on the last 14 days was 0.0%, that "
        "of exponential smoothing "
    )


def test_equal_errors_publish_the_same_weekday():
    made = forecast(of([1_000_000] * 60))
    assert [one.error_cents for one in made.tested] == [0, 0]
    assert made.method is Method.NAIVE


def test_hidden_days_are_those_before_the_forecast_and_are_hidden(monkeypatch):
    seen = []
    predicted = module._predicted

    def spying(method, cents):
        seen.append((method, list(cents)))
        return predicted(method, cents)

    monkeypatch.setattr(module, "_predicted", spying)
    known = of(weekly(60, noise=0.1))
    made = forecast(known)
    assert seen == [
        (Method.MODEL, known.cents[:-DAYS]), (Method.NAIVE, known.cents[:-DAYS]),
        (made.method, known.cents),
    ]  # fmt: skip
    naive = made.tested[1]
    last_week = known.cents[-DAYS - 7 : -DAYS] * 2
    by_hand = sum(abs(a - b) for a, b in zip(last_week, known.cents[-DAYS:], strict=True))
    assert naive.error_cents == by_hand
    assert naive.error == by_hand / sum(known.cents[-DAYS:])


def test_same_days_give_the_same_forecast():
    cents = weekly(100, noise=0.2, growth=0.02)
    assert forecast(of(cents)) == forecast(of(cents))


def test_shop_that_is_closed_on_sundays_is_forecast_to_be():
    cents = weekly(84, noise=0.05)
    cents[6::7] = 0
    made = forecast(of(cents))
    sundays = [day for n, day in enumerate(made.days) if n % 7 == 6]
    assert all(day.net_revenue_cents < 100_000 for day in sundays)
    assert all(day.low_95_cents >= 0 for day in made.days)


def test_days_without_revenue_have_no_share_of_error():
    made = forecast(of([0] * 60))
    assert [one.error for one in made.tested] == [None, None]
    assert {day.net_revenue_cents for day in made.days} == {0}
    assert "not measurable" in made.verdict


def test_few_days_give_no_forecast_and_old_ones_are_not_read(monkeypatch):
    cents = weekly(FEWEST_DAYS, noise=0.1)
    assert forecast(of(cents[1:])) is None
    assert forecast(of(cents)) is not None
    read = []
    predicted = module._predicted
    monkeypatch.setattr(
        module, "_predicted",
        lambda _method, cents: read.append(len(cents)) or predicted(Method.NAIVE, cents),
    )  # fmt: skip
    forecast(of(weekly(MOST_DAYS + 30, noise=0.1)))
    assert max(read) == MOST_DAYS


@pytest.mark.parametrize("method", Method)
def test_intervals_hold_as_many_days_as_they_say(method):
    """Of 40 made-up shops: the days that came then, within the interval that was told before."""
    within = {80: 0, 95: 0}
    for seed in range(40):
        cents = weekly(70 + DAYS, noise=0.15, seed=seed)
        days = module._days(method, [round(one) for one in cents[:-DAYS]], LAST)
        for day, came in zip(days, cents[-DAYS:], strict=True):
            assert day.low_95_cents <= day.low_80_cents <= day.net_revenue_cents
            assert day.net_revenue_cents <= day.high_80_cents <= day.high_95_cents
            within[80] += day.low_80_cents <= came <= day.high_80_cents
            within[95] += day.low_95_cents <= came <= day.high_95_cents
    share = {level: count / (40 * DAYS) for level, count in within.items()}
    assert 0.72 < share[80] < 0.88, share
    assert 0.90 < share[95] < 0.99, share
