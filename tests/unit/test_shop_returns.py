"""What comes back: a row for each line of a returned order, and its share of the refund."""

import math
from collections import defaultdict
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from producers import lifecycle
from producers.engine import Limits, advance, make_shop
from producers.geography import warehouses
from producers.keys import Keys
from producers.money import Tariff, add_up
from producers.resume import restore
from producers.rows import PaymentRow, ReturnRow
from producers.shop import Line, OpenOrder, Product, Supplier
from producers.stored import (
    Stored,
    StoredLine,
    StoredOrder,
    StoredProduct,
    StoredStock,
    StoredSupplier,
)
from tests.shops import Sequences, past, play

STEPS = st.sampled_from([1, 100])


def test_the_other_tables_are_the_same_with_and_without_returns(monkeypatch):
    found = play(seed=7, orders=900, dirt_percent=3)
    monkeypatch.setattr(lifecycle, "_insert_returns", lambda _shop, _order: None)
    without = play(seed=7, orders=900, dirt_percent=3)
    assert found.versions.pop("returns")
    assert not without.versions.pop("returns")
    assert found.versions == without.versions
    assert sorted(map(str, found.dirt)) == sorted(map(str, without.dirt))


@given(
    STEPS,
    st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 10**7)), min_size=1, max_size=6),
    st.integers(0, 100),
    st.integers(0, 10**5),
)
def test_shares_of_a_refund_are_the_refund_whatever_the_lines_cost(step, goods, percent, shipping):
    lines = [
        Line(order_line_id=number, product=_product(), warehouse="A", quantity=quantity,
             unit_price_cents=price * step)
        for number, (quantity, price) in enumerate(goods)
    ]  # fmt: skip
    tariff = Tariff(currency="XXX", rate=1, step_cents=step, discount_percent=percent,
                    shipping_cents=shipping * step, tax_basis_points=2_000)  # fmt: skip
    totals = add_up([max(line.total_cents, 0) for line in lines], tariff)
    order = OpenOrder(order_id=1, customer=None, device="mobile", tariff=tariff, lines=lines,
                      totals=totals, method="card")  # fmt: skip
    shares = list(lifecycle._refunds(order))
    assert len(shares) == len(lines)
    assert sum(shares) == totals.total_cents
    assert all(share >= 0 and share % step == 0 for share in shares)
    for share, line in zip(shares, lines, strict=True):
        exact = totals.total_cents * max(line.total_cents, 0) / max(totals.subtotal_cents, 1)
        assert not totals.subtotal_cents or abs(share - exact) <= len(lines) * step


def _product():
    return Product(product_id=1, supplier=Supplier(supplier_id=1, lead_time_days=1),
                   price_cents=1, cost_cents=1)  # fmt: skip


def resumed(status, *, orders, sequences):
    """Changes until all open orders are final, of a shop loaded with orders in this status."""
    stored = Stored(
        suppliers=[StoredSupplier(supplier_id=1, lead_time_days=3)],
        products=[StoredProduct(product_id=1, supplier_id=1, price_amount="9.99",
                                cost_amount="5.00", is_active=True)],
        stock=[StoredStock(product_id=1, warehouse_code=code, units=10**6)
               for code in warehouses()],
        customers=[], rates=[],
        orders=[
            StoredOrder(order_id=key, customer_id=None, status=status, currency="EUR",
                        exchange_rate="1.00000000", shipping_amount="4.90", ship_country="FR",
                        discount_percent=10, payment_id=key, payment_kind="payment",
                        payment_method="card")
            for key in range(1, orders + 1)
        ],
        order_lines=[
            StoredLine(order_id=key, order_line_id=3 * key + n, product_id=1,
                       warehouse_code=warehouses()[0], quantity=n + 1, unit_price_amount="9.99")
            for key in range(1, orders + 1) for n in range(3)
        ],
    )  # fmt: skip
    keys = Keys()
    sequences.fill(keys)
    shop = make_shop(seed=1, orders_before=orders, dirt_percent=0, base_currency="EUR", keys=keys)
    assert restore(shop, stored)
    rows = []
    while shop.events.next_moment is not None:
        advance(shop, past(1), Limits(until=math.inf, orders=None, changes=100))
        rows += [row for of in shop.take_changes().inserts.values() for row in of]
        sequences.fill(keys)
    return rows


def test_an_order_killed_after_its_return_is_refunded_and_not_returned_again():
    rows = resumed("returned", orders=5, sequences=Sequences())
    assert not [row for row in rows if isinstance(row, ReturnRow)]
    # 6 x 9.99, less 10 %, with shipping and 20 % tax
    assert [row.amount for row in rows if isinstance(row, PaymentRow)] == ["70.62"] * 5


def test_a_resumed_order_is_returned_line_by_line_under_keys_never_used_before():
    sequences, used = Sequences(), set()
    for _ in range(2):
        rows = resumed("shipped", orders=300, sequences=sequences)
        returns = [row for row in rows if isinstance(row, ReturnRow)]
        totals = defaultdict(Decimal)
        for row in returns:
            totals[row.order_id] += Decimal(row.refund_amount)
        assert len(returns) == 3 * len(totals) > 20
        assert set(totals.values()) == {Decimal("70.62")}
        keys = {row.return_id for row in returns}
        assert len(keys) == len(returns)
        assert not keys & used
        used |= keys
