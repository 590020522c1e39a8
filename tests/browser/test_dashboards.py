"""Both dashboards in a real browser, on a shop of their own."""

import re

import pytest

from stack.superset.files import read_files
from stack.superset.layout import charts_in

pytestmark = pytest.mark.browser

FILES = read_files()
LIVE = FILES["dashboards"]["live_shop"]
TABS = FILES["dashboards"]["shop_analytics"]["layout"][0]["tabs"]
DRAWN = "canvas, svg, table, .header-line"

COUNTING = "not (o.status = 'cancelled' and o.paid_at is null)"


def titles(layout):
    return {FILES["charts"][name]["slice_name"] for name in charts_in(layout)}


def holder(browser, title):
    """The frame of the chart with this title."""
    heading = browser.page.locator(".header-title").get_by_text(title, exact=True)
    return browser.page.locator(".dashboard-component-chart-holder").filter(has=heading)


def tile(browser, title):
    """What a tile shows, as text."""
    return holder(browser, title).locator(".header-line").inner_text()


def number(text):
    """`1,234.5 €` as a number."""
    return float(re.sub(r"[^0-9.\-]", "", text))


def assert_all_drawn(browser, layout):
    for title in titles(layout):
        chart = holder(browser, title)
        assert chart.count() == 1, title
        assert chart.locator(DRAWN).count() > 0, f"{title} shows nothing"
        assert not chart.locator("[role=alert], .ant-alert-error").count(), title
        assert "No results" not in chart.inner_text(), f"{title} is empty"


def assert_answered(answers):
    for answer in answers.values():
        assert answer.status == 200, answer.results
        assert answer.rows, f"chart {answer.number} got no rows from {answer.queries}"
        assert not any(result.get("rejected_filters") for result in answer.results)


def test_every_chart_of_the_live_dashboard_is_drawn_without_an_error(browser, keep_picture):
    answers = browser.open("live-shop", charts=len(charts_in(LIVE["layout"])))
    keep_picture(browser, "live_shop")
    assert_answered(answers)
    assert_all_drawn(browser, LIVE["layout"])
    assert browser.errors == []
    assert browser.outside == []


def test_every_chart_of_the_analytics_is_drawn_without_an_error(browser, keep_picture):
    for i, tab in enumerate(TABS):
        charts = len(charts_in(tab["holds"]))
        if i == 0:
            answers = browser.open("shop-analytics", charts=charts)
        else:
            answers = browser.open_tab(tab["tab"], charts=charts)
        keep_picture(browser, f"shop_analytics_{tab['tab'].lower()}")
        assert_answered(answers)
        assert_all_drawn(browser, tab["holds"])
    assert browser.errors == []
    assert browser.outside == []


def test_tiles_and_totals_are_what_the_shop_itself_says(shop, browser):
    """Net revenue of a foreign order is rounded once, so it may be a cent off what this rounds."""
    answers = browser.open("shop-analytics", charts=len(charts_in(TABS[0]["holds"])))
    [(orders, charged, net, foreign)] = shop.oltp(
        f"""
        select
            count(*), sum(o.base_total_amount),
            sum(round((o.subtotal_amount - o.discount_amount) * o.exchange_rate, 2)),
            count(*) filter (where o.currency <> 'EUR')
        from public.orders as o
        where
            {COUNTING}
            and o.order_id <= %s
            and exists (select from public.order_lines as l where l.order_id = o.order_id)
        """,
        shop.last_order_id,
    )
    [(units,)] = shop.oltp(
        f"""
        select sum(l.quantity)
        from public.order_lines as l inner join public.orders as o on l.order_id = o.order_id
        where {COUNTING} and o.order_id <= %s
        """,
        shop.last_order_id,
    )
    [(refunds,)] = shop.oltp(
        f"""
        select coalesce(sum(round(p.amount * o.exchange_rate, 2)), 0)
        from public.payments as p inner join public.orders as o on p.order_id = o.order_id
        where
            {COUNTING}
            and o.order_id <= %s
            and p.kind = 'refund'
            and p.status = 'captured'
        """,
        shop.last_order_id,
    )
    assert number(tile(browser, "Orders")) == orders
    assert number(tile(browser, "Units sold")) == units
    assert number(tile(browser, "Average order value")) == pytest.approx(
        float(charged / orders), abs=0.005
    )
    assert number(tile(browser, "Refunds")) == pytest.approx(
        100 * float(refunds / charged), abs=0.06
    )
    cents = 0.01 * foreign + 0.005
    assert number(tile(browser, "Net revenue")) == pytest.approx(float(net), abs=cents + 0.5)
    names = shop.chart_names()
    by_name = {names[number]: answer.rows for number, answer in answers.items()}
    for name in ("revenue_by_category", "revenue_by_channel", "income_by_month"):
        total = sum(row["net_revenue"] for row in by_name[name])
        assert total == pytest.approx(float(net), abs=cents), name
    series = [{**row, "date_key": 0} for row in by_name["revenue_by_period"]]
    assert sum(sum(v or 0 for v in row.values()) for row in series) == pytest.approx(
        float(net), abs=cents
    )


def test_live_tiles_are_what_the_shop_itself_says(shop, browser):
    browser.open("live-shop", charts=len(charts_in(LIVE["layout"])))
    [(orders, net)] = shop.oltp(
        f"""
        select
            count(*),
            sum(round((o.subtotal_amount - o.discount_amount) * o.exchange_rate, 2))
        from public.orders as o
        where
            {COUNTING}
            and o.placed_at >= date_trunc('day', now() at time zone 'Europe/Paris')
                at time zone 'Europe/Paris'
        """
    )
    assert number(tile(browser, "Net revenue, today")) == pytest.approx(float(net), abs=2)
    shown = shop.warehouse("select orders_today from mart.live_now")
    assert shown == [(orders,)]


def test_filter_of_country_and_channel_reaches_the_charts(shop, browser):
    charts = len(charts_in(TABS[0]["holds"]))
    browser.open("shop-analytics", charts=charts)
    for name, value in (("Country", "FR"), ("Channel", "web")):
        box = browser.page.get_by_role("combobox", name=name)
        box.click()
        box.fill(value)
        browser.page.locator(".ant-select-item-option", has_text=value).first.click()
        browser.page.keyboard.press("Escape")
    browser.answers.clear()
    browser.page.get_by_role("button", name="Apply").first.click()
    answers = browser.drawn(charts)
    for answer in answers.values():
        assert all("FR" in query and "web" in query for query in answer.queries)
    [(net,)] = shop.warehouse(
        "select sum(net_revenue_cents) / 100.0 from mart.daily_sales "
        "where ship_country = 'FR' and channel = 'web'"
    )
    assert number(tile(browser, "Net revenue")) == pytest.approx(float(net), abs=0.5)
    [(orders,)] = shop.warehouse(
        "select sum(orders) from mart.daily_orders where ship_country = 'FR' and channel = 'web'"
    )
    assert number(tile(browser, "Orders")) == orders


def write_order(shop):
    """An order of one line, as the shop writes it; returns its number."""
    [(order_id,)] = shop.oltp(
        """
        with placed as (
            insert into public.orders (
                customer_id, channel, status, currency, exchange_rate, subtotal_amount,
                discount_amount, shipping_amount, tax_amount, total_amount, base_total_amount,
                ship_city, ship_region, ship_country, placed_at
            )
            select
                max(c.customer_id), 'web', 'placed', 'EUR', 1, 12345.67, 0, 0, 0, 12345.67,
                12345.67, 'Paris', 'Île-de-France', 'FR', now()
            from public.customers as c
            returning order_id
        )
        insert into public.order_lines (
            order_id, line_number, product_id, warehouse_code, quantity, unit_price_amount,
            line_total_amount
        )
        select p.order_id, 1, (select min(product_id) from public.products), 'FR-LIL', 1, 12345.67,
            12345.67
        from placed as p
        returning order_id
        """
    )
    return order_id


def test_order_written_now_appears_on_the_open_page(shop, browser):
    browser.open("live-shop", charts=len(charts_in(LIVE["layout"])))
    table = holder(browser, "Latest orders")
    order_id = write_order(shop)
    # Ten seconds is the promise: page.goto or reload would start over, waiting does not.
    table.get_by_text(str(order_id), exact=True).wait_for(timeout=10_000)
    table.get_by_text("12,345.67 €").wait_for(timeout=1_000)


def test_stopped_pipeline_looks_different_from_a_shop_without_sales(shop, browser):
    browser.open("live-shop", charts=len(charts_in(LIVE["layout"])))
    pipeline = holder(browser, "Pipeline")
    # Nobody sells now, and heartbeats say that this is all.
    pipeline.get_by_text("LIVE", exact=True).first.wait_for(timeout=15_000)
    shop.stack.stop("connect")
    try:
        pipeline.get_by_text("STOPPED", exact=True).first.wait_for(timeout=120_000)
        assert re.search(r"\dm", tile(browser, "Behind the shop"))
    finally:
        shop.stack.start("connect")
    pipeline.get_by_text("LIVE", exact=True).first.wait_for(timeout=60_000)
