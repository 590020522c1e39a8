"""A shop with charts: one stack, filled once, for all tests of the dashboards."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from benchmarks.browser import logged_in_browser
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from stack.superset import rest
from stack.superset.files import FOLDER
from stack.superset.names import derived_id
from stack.web_uis import WEB_UIS
from tests.browser.truth import SETUP
from tests.stacks import settle, tenant

DAYS = 60
ORDERS = 3_000
FILES_OF_CHARTS = list((FOLDER / "charts").glob("*.yaml"))


TARGETS = """
    insert into etl.target (month_start_date, net_revenue_cents)
    select g.month, 3000000
    from generate_series(
        date_trunc('year', now()) - interval '1 month', now(), interval '1 month'
    ) as g (month)
"""
"""30,000.00 a month, for every month of this year."""
LEFT_OUT = """
    with placed as (
        insert into public.orders (
            channel, status, currency, exchange_rate, subtotal_amount, discount_amount,
            shipping_amount, tax_amount, total_amount, base_total_amount, ship_city, ship_region,
            ship_country, placed_at
        )
        values (
            'web', 'placed', 'CHF', 1.05, 300.00, 30.00, 5.00, 0, 275.00, 288.75, 'Basel',
            repeat('x', 500), 'CH', now() - interval '2 days'
        )
        returning order_id
    )
    insert into public.order_lines (
        order_id, line_number, product_id, warehouse_code, quantity, unit_price_amount,
        line_total_amount
    )
    select order_id, 1, (select min(product_id) from public.products), 'FR-LIL', 1, 300, 300
    from placed
"""
"""An order that breaks a rule: its region is too long."""


class ShopWithCharts:
    """The stack, and SQL on both of its ends."""

    def __init__(self, stack):
        self.stack = stack
        self.login = WEB_UIS["superset"](stack.config, stack.secrets)
        self._oltp_dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        self.oltp(
            "update truth.consolidated "
            "set last_order_id = (select max(order_id) from public.orders), consolidated_at = now()"
        )

    def oltp(self, query, *parameters):
        return self._ask(self._oltp_dsn, query, parameters)

    def says(self, truth):
        """Figures of a chart as the shop's own tables have them, or those of the loads."""
        loads = warehouse_dsn(self.stack.warehouse, self.stack.secrets, role="batch")
        with psycopg.connect(loads if truth.is_of_loads else self._oltp_dsn) as connection:
            cursor = connection.execute(truth.sql)
            return truth.told([column.name for column in cursor.description], cursor.fetchall())

    def warehouse(self, query, *, options=""):
        """As the role of the charts."""
        dsn = warehouse_dsn(self.stack.warehouse, self.stack.secrets, role="reader")
        return self._ask(make_conninfo(dsn, options=options), query, ())

    def chart_names(self):
        """Names of the files that made the charts, by Superset's numbers."""
        who = self.login
        names = {derived_id("charts", path.stem): path.stem for path in FILES_OF_CHARTS}
        with rest.logged_in(who.url, who.user, who.password) as superset:
            return {one["id"]: names[one["uuid"]] for one in superset.list("charts")}

    @staticmethod
    def _ask(dsn, query, parameters):
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="package")
def shop():
    """Sixty days of orders without dirt, consolidated, and a live hour that follows them."""
    # Superset takes ten seconds to start, and minutes where many start at the same time.
    with tenant(STACK_START_TIMEOUT_SECONDS=400) as stack:
        stack.run("up", "lander", "live", "superset", timeout=580)
        with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="admin")) as connection:
            connection.execute(SETUP)
        with psycopg.connect(warehouse_dsn(stack.warehouse, stack.secrets, role="batch")) as loads:
            loads.execute(TARGETS)
        stack.run(
            "simulate", "--history", DAYS, "--orders", ORDERS, "--dirt", 0, "--seed", 5, timeout=300
        )
        stack.run(
            "simulate", "--orders-per-second", 12, "--minutes", 0.1, "--dirt", 0, "--seed", 6,
            timeout=120,
        )  # fmt: skip
        with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="admin")) as connection:
            connection.execute(LEFT_OUT)
        settle(stack)
        stack.run("consolidate", timeout=300)
        stack.run("recommend", "train", timeout=120)
        stack.run("forecast", "train", timeout=120)
        yield ShopWithCharts(stack)


@pytest.fixture(scope="package")
def logged_in(shop):
    """A browser that has logged in. Superset's programs are in its cache after the first page."""
    with logged_in_browser(shop.login) as found:
        yield found


@pytest.fixture
def browser(logged_in):
    """The same, on no page."""
    logged_in.errors.clear()
    logged_in.outside.clear()
    yield logged_in
    logged_in.page.goto("about:blank")
