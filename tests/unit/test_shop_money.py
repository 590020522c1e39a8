"""Money is exact, whatever the discount, tax, currency and rounding."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import StopPipelineError
from producers.money import (
    RATE_SCALE,
    SEED_RATES,
    Tariff,
    add_up,
    amount,
    cents,
    from_base,
    rate_text,
    round_to_step,
    seed_rates,
)

STEPS = st.sampled_from([1, 100])
RATES = st.integers(1, 10**12)
AMOUNTS = st.integers(0, 10**10)


@st.composite
def orders(draw):
    step = draw(STEPS)
    lines = draw(st.lists(st.integers(0, 10**7).map(lambda n: n * step), min_size=1, max_size=6))
    tariff = Tariff(
        currency="XXX",
        rate=draw(RATES),
        step_cents=step,
        discount_percent=draw(st.integers(0, 100)),
        shipping_cents=draw(st.integers(0, 10**5)) * step,
        tax_basis_points=draw(st.integers(0, 3_000)),
    )
    return lines, tariff


@given(orders())
def test_an_order_adds_up_to_the_cent(order):
    lines, tariff = order
    totals = add_up(lines, tariff)
    assert totals.subtotal_cents == sum(lines)
    assert 0 <= totals.discount_cents <= totals.subtotal_cents
    assert totals.tax_cents >= 0
    net = totals.subtotal_cents - totals.discount_cents + totals.shipping_cents
    assert totals.total_cents == net + totals.tax_cents


@given(orders())
def test_no_amount_is_finer_than_the_currency(order):
    lines, tariff = order
    totals = add_up(lines, tariff)
    for value in (totals.discount_cents, totals.tax_cents, totals.total_cents):
        assert value % tariff.step_cents == 0


@given(orders())
def test_the_base_total_is_rounded_as_postgres_does(order):
    lines, tariff = order
    totals = add_up(lines, tariff)
    exact = Decimal(amount(totals.total_cents)) * Decimal(rate_text(tariff.rate))
    rounded = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert Decimal(amount(totals.base_total_cents)) == rounded


@given(st.integers(0, 10**15), st.integers(1, 10**8), STEPS)
def test_rounding_is_to_the_nearest_step_and_half_up(numerator, denominator, step):
    rounded = round_to_step(numerator, denominator, step)
    distance = Decimal(rounded) - Decimal(numerator) / denominator
    assert rounded % step == 0
    assert -Decimal(step) / 2 < distance <= Decimal(step) / 2


@given(st.integers(1, 10**9), RATES, STEPS)
def test_what_costs_something_costs_something_in_every_currency(base_cents, rate, step):
    assert from_base(base_cents, rate=rate, step_cents=step) >= step
    assert from_base(0, rate=rate, step_cents=step) == 0


@given(AMOUNTS)
def test_an_amount_reads_back_as_it_was_written(value):
    assert cents(amount(value)) == value
    assert Decimal(amount(value)) * 100 == value


@given(RATES)
def test_a_rate_is_written_with_all_its_digits(rate):
    assert Decimal(rate_text(rate)) * RATE_SCALE == rate


@pytest.mark.parametrize("currency", SEED_RATES)
def test_the_base_currency_is_worth_one_of_itself(currency):
    rates = seed_rates(currency)
    assert rates[currency] == RATE_SCALE
    assert all(rate > 0 for rate in rates.values())


def test_a_base_currency_without_a_rate_is_refused_by_name():
    with pytest.raises(StopPipelineError, match=r"SHOP_BASE_CURRENCY is XAU.*EUR"):
        seed_rates("XAU")
