"""Money as whole cents. Rounding is half up, as Postgres rounds positive numerics."""

from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse.errors import StopPipelineError

RATE_SCALE = 10**8
"""Exchange rates are whole numbers of 1/RATE_SCALE, as `numeric(18, 8)` keeps them."""
STEP_CENTS = {"JPY": 100}
"""The smallest amount of a currency, in hundredths, where it is not 1."""
SEED_RATES = {
    "EUR": 1.0,
    "GBP": 1.17,
    "USD": 0.92,
    "CAD": 0.68,
    "CHF": 1.05,
    "PLN": 0.23,
    "SEK": 0.088,
    "JPY": 0.0061,
}
"""Initial value of one unit of each currency in euros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Terms of an order, fixed when it is placed.

    Attributes:
        currency: code of the order's currency.
        rate: value of one unit of it in the base currency, times `RATE_SCALE`.
        step_cents: its smallest amount, in hundredths: 1, or 100 for a currency without cents.
        discount_percent: discount on the lines.
        shipping_cents: in the order's currency.
        tax_basis_points: tax on lines minus discount plus shipping.
    """

    currency: str
    rate: int
    step_cents: int
    discount_percent: int
    shipping_cents: int
    tax_basis_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """An order's amounts, in cents of its currency, and its total in the base currency."""

    subtotal_cents: int
    discount_cents: int
    shipping_cents: int
    tax_cents: int
    total_cents: int
    base_total_cents: int


def seed_rates(base_currency: str) -> dict[str, int]:
    """Return the value of one unit of each currency in the base currency, times `RATE_SCALE`.

    Raises:
        StopPipelineError: the shop knows no rate for its base currency.
    """
    if base_currency not in SEED_RATES:
        known = ", ".join(SEED_RATES)
        problem = f"SHOP_BASE_CURRENCY is {base_currency}; the shop knows {known}"
        raise StopPipelineError(problem, "Set one of them.")
    base = SEED_RATES[base_currency]
    return {code: round(rate / base * RATE_SCALE) for code, rate in SEED_RATES.items()}


def add_up(line_totals_cents: Sequence[int], tariff: Tariff) -> Totals:
    """Return the amounts of an order with these lines."""
    subtotal = sum(line_totals_cents)
    step = tariff.step_cents
    discount = round_to_step(subtotal * tariff.discount_percent, 100, step)
    taxable = subtotal - discount + tariff.shipping_cents
    tax = round_to_step(taxable * tariff.tax_basis_points, 10_000, step)
    total = taxable + tax
    return Totals(
        subtotal_cents=subtotal,
        discount_cents=discount,
        shipping_cents=tariff.shipping_cents,
        tax_cents=tax,
        total_cents=total,
        base_total_cents=round_to_step(total * tariff.rate, RATE_SCALE, 1),
    )


def from_base(base_cents: int, *, rate: int, step_cents: int) -> int:
    """Convert an amount from the base currency; a positive amount stays at least one step."""
    converted = round_to_step(base_cents * RATE_SCALE, rate, step_cents)
    return max(converted, step_cents) if base_cents else 0


def round_to_step(numerator: int, denominator: int, step: int) -> int:
    """Return a non-negative quotient, rounded half up to a multiple of `step`."""
    unit = denominator * step
    return (2 * numerator + unit) // (2 * unit) * step


def amount(cents: int) -> str:
    """Format cents as a Postgres numeric: `1999` is `19.99`."""
    return f"{cents // 100}.{cents % 100:02d}"


def rate_text(rate: int) -> str:
    """Format an exchange rate as a Postgres numeric."""
    return f"{rate // RATE_SCALE}.{rate % RATE_SCALE:08d}"


def cents(numeric: str) -> int:
    """Parse a numeric(12, 2) as Postgres prints it; the inverse of `amount`."""
    units, _, hundredths = numeric.partition(".")
    return int(units) * 100 + int(hundredths)
