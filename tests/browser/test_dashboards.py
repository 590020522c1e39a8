"""Both dashboards in a real browser, on a shop of their own."""

import re
import time
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from stack.superset.files import read_files
from stack.superset.layout import charts_at_first, charts_in, tabs_of
from tests.browser.truth import ANALYTICS, LABELS, assert_equal
from tests.browser.truth import LIVE as LIVE_CHARTS
from tests.pictures import keep_picture
from tests.stacks import capture_paused

pytestmark = pytest.mark.browser

FILES = LABELS.to_words(read_files())
LIVE = FILES["dashboards"]["live_shop"]
ANALYTICS_LAYOUT = FILES["dashboards"]["shop_analytics"]["layout"]
TABS = tabs_of(ANALYTICS_LAYOUT)
ABOVE_TABS = charts_in([node for node in ANALYTICS_LAYOUT if "tabs" not in node])
FIRST_TAB = charts_at_first(ANALYTICS_LAYOUT)
OF_NO_COUNTRY = {"as_of", "left_out", "left_out_share", "left_out_by_rule"}
DRAWN = "canvas, svg, table, .header-line"
SHOWN_MS = 120_000
UNREADABLE = """() => {
    const parts = color => [...color.match(/[0-9.]+/g).map(Number), 1].slice(0, 4);
    const light = rgb => {
        const [r, g, b] = rgb.map(part =>
            part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const over = (above, below) =>
        [0, 1, 2].map(i => above[i] * above[3] + below[i] * (1 - above[3])).concat(1);
    const behind = node => {
        const color = parts(getComputedStyle(node).backgroundColor);
        return over(color, node.parentElement ? behind(node.parentElement) : [255, 255, 255, 1]);
    };
    const found = [];
    for (const node of document.querySelectorAll('.dashboard-component-chart-holder *')) {
        const texts = [...node.childNodes].filter(one => one.nodeType === 3);
        if (!node.offsetParent || !texts.some(one => one.data.trim())) continue;
        const style = getComputedStyle(node);
        const hides = style.overflowX === 'hidden' || style.textOverflow === 'ellipsis';
        const is_shown = node.matches('.header-title *, .header-line, .subtitle-line, th, td');
        if (is_shown && hides && node.scrollWidth > node.clientWidth + 1)
            found.push('cut: ' + node.innerText);
        const back = behind(node);
        const both = [light(over(parts(style.color), back)), light(back)];
        if ((Math.max(...both) + 0.05) / (Math.min(...both) + 0.05) < 4.5)
            found.push('pale: ' + node.innerText);
    }
    return found;
}"""
"""Titles, numbers and cells that do not fit their place; and texts with less contrast to what is
behind them than WCAG 2.2 asks for (1.4.3, AA)."""


def titles(layout):
    return {FILES["charts"][name]["slice_name"] for name in charts_in(layout)}


def holder(browser, title):
    """The frame of the chart with this title."""
    heading = browser.page.locator(".header-title").get_by_text(title, exact=True)
    found = browser.page.locator(".dashboard-component-chart-holder").filter(has=heading)
    return found.filter(visible=True)  # another tab may have it, too


def tile(browser, title):
    """What a tile shows, as text."""
    return holder(browser, title).locator(".header-line").inner_text()


def number(text):
    """`1,234.5 €` as a number."""
    return float(re.sub(r"[^0-9.\-]", "", text))


def open_analytics(browser, charts):
    """The first tab, with all days of the shop."""
    value = "filterState:(value:'No filter'),extraFormData:(time_range:'No filter'),ownState:()"
    period = f"NATIVE_FILTER-period:(id:NATIVE_FILTER-period,{value})"
    query = f"?native_filters=({quote(period)})"
    return browser.open("shop-analytics", charts=len(charts), query=query)


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


def compared(shop, truths, names, answers):
    """Of every chart: its name, its metrics, and the shop's own at this moment."""
    answered = {names[number]: answer for number, answer in answers.items()}
    for chart in truths.keys() & answered.keys():
        truth = truths[chart]
        metric = FILES["charts"][chart]["params"].get("metrics", [""])[0]
        seen = truth.shown(metric, rows_of(chart, answered[chart]))
        yield chart, seen, shop.says(truth)


def rows_of(chart, answer):
    """All that is drawn: bars and line of a mixed chart are two queries, elsewhere 2 is totals."""
    if FILES["charts"][chart]["viz_type"] == "mixed_timeseries":
        return [row for result in answer.results for row in result["data"]]
    # The number of a tile that has a line, too.
    return answer.results[-1]["data"] if is_tile(chart) else answer.rows


def is_tile(chart):
    return FILES["charts"][chart]["viz_type"].startswith("big_number")


def assert_change(browser, chart, answer):
    """Below the number: the last day of the line, on the day a week before."""
    params = FILES["charts"][chart]["params"]
    days = {row[params["x_axis"]]: row[params["metric"]] for row in answer.results[0]["data"]}
    last = max(days)
    before = days.get(last - 7 * 86_400_000)
    text = holder(browser, FILES["charts"][chart]["slice_name"]).inner_text()
    shown = re.search(r"([+-][0-9.,]+)% on the day a week before", text)
    assert (shown is None) == (not before), (chart, text)
    if shown:
        change = (days[last] - before) / abs(before) * 100
        assert number(shown[1]) == pytest.approx(change, abs=0.051), chart


def assert_tile_says(browser, chart, metrics):
    """The number in the frame is the one that was asked for, in as many digits as it has."""
    [value] = metrics[()].values()
    if chart == "as_of":
        shown = datetime.fromtimestamp(value / 1000, UTC)
        assert tile(browser, FILES["charts"][chart]["slice_name"]) == f"{shown:%d %b, %H:%M}"
        return
    text = tile(browser, FILES["charts"][chart]["slice_name"])
    if value is None:
        assert text == "No data", chart
        return
    per_cent = 100 if "%" in text else 1
    digits = len(text.partition(".")[2].strip(" %€"))
    assert number(text) == pytest.approx(per_cent * value, abs=0.501 * 10**-digits), chart


def test_every_tile_and_chart_of_the_analytics_is_drawn_and_what_the_shop_itself_says(
    shop, browser, subtests
):
    names, known = shop.chart_names(), set()
    for i, tab in enumerate(TABS):
        # What another tab has shown is not asked for again.
        charts = set(charts_in(tab["holds"]) if i else FIRST_TAB) - known
        known |= charts
        if i == 0:
            answers = open_analytics(browser, charts)
        else:
            answers = browser.open_tab(tab["tab"], charts=len(charts))
        keep_picture(browser.page, f"shop_analytics_{tab['tab'].lower().replace(' ', '_')}")
        with subtests.test(tab["tab"]):
            assert_answered(answers)
            assert_all_drawn(browser, tab["holds"])
            done = set()
            for chart, seen, expected in compared(shop, ANALYTICS, names, answers):
                assert_equal(chart, expected, seen)
                if is_tile(chart):
                    assert_tile_says(browser, chart, seen)
                done.add(chart)
            for one, answer in answers.items():
                if FILES["charts"][names[one]]["viz_type"] == "big_number":
                    assert_change(browser, names[one], answer)
            assert done == charts
            assert browser.page.evaluate(UNREADABLE) == []
    assert browser.errors == []
    assert browser.outside == []


def test_every_tile_and_chart_of_the_live_page_is_drawn_and_what_the_shop_itself_says(
    shop, browser
):
    """Except how far the page is behind, which the shop cannot know."""
    write_order(shop)
    names = shop.chart_names()
    started = time.monotonic()
    while True:
        answers = browser.open("live-shop", charts=len(charts_in(LIVE["layout"])))
        keep_picture(browser.page, "live_shop")
        assert_answered(answers)
        assert_all_drawn(browser, LIVE["layout"])
        all_metrics = list(compared(shop, LIVE_CHARTS, names, answers))
        try:
            for chart, seen, expected in all_metrics:
                assert_equal(chart, expected, seen)
                if is_tile(chart):
                    assert_tile_says(browser, chart, seen)
        except AssertionError:
            # An order may have left the last hour, or the last 30 seconds, between the two. And the
            # page continues: a tile may show what it has asked for since.
            if time.monotonic() > started + 600:
                raise
        else:
            break
    compared_charts = {chart for chart, _, _ in all_metrics}
    assert compared_charts == set(charts_in(LIVE["layout"])) - {"live_behind", "live_pipeline"}
    assert browser.errors == []
    assert browser.outside == []


def choose(browser, name, value):
    """Pick a value in one of the dashboard's filters."""
    box = browser.page.get_by_role("combobox", name=name)
    box.click()
    box.fill(value)
    browser.page.locator(".ant-select-item-option", has_text=value).first.click()
    browser.page.keyboard.press("Escape")


def apply_filters(browser, charts):
    """Answers of the charts that the filters concern, by the names of their files."""
    browser.answers.clear()
    browser.page.get_by_role("button", name="Apply").first.click()
    return browser.drawn(charts)


def reached(browser, names, charts, *words):
    """Charts whose queries have the words of the filters, once no other has been answered."""
    answers, known = apply_filters(browser, charts), 0
    while len(answers) > known:
        known = len(answers)
        browser.page.wait_for_timeout(3000)
        answers = {answer.number: answer for answer in browser.answers}
    return {
        names[n]
        for n, answer in answers.items()
        if all(word in query for query in answer.queries for word in words)
    }


def test_filter_of_country_and_channel_reaches_the_charts(shop, browser):
    open_analytics(browser, FIRST_TAB)
    choose(browser, "Country", "France")
    choose(browser, "Channel", "Web")
    concerned, names = set(FIRST_TAB) - OF_NO_COUNTRY, shop.chart_names()
    assert reached(browser, names, len(concerned), "('France')", "('Web')") == concerned
    [(net, orders)] = shop.oltp(
        "select sum(net), count(*) from truth.orders where ship_country = 'FR' and channel = 'web'"
    )
    assert number(tile(browser, "Net revenue")) == pytest.approx(
        float(net), abs=0.5 + 0.01 * orders
    )
    assert number(tile(browser, "Orders")) == orders


@pytest.mark.long
def test_filter_of_category_reaches_the_charts_that_know_categories(shop, browser):
    open_analytics(browser, FIRST_TAB)
    [(category, net, units)] = shop.oltp(
        "select category, sum(net), sum(units) from truth.lines group by 1 order by 2 desc limit 1"
    )
    choose(browser, "Category", category)
    # An order is of no category, so these two say the same as before.
    concerned = set(FIRST_TAB) - OF_NO_COUNTRY - {"orders", "average_order_value"}
    assert reached(browser, shop.chart_names(), len(concerned), category) == concerned
    assert number(tile(browser, "Units sold")) == units
    assert number(tile(browser, "Net revenue")) == pytest.approx(
        float(net), abs=0.5 + 0.01 * float(units)
    )


def choose_last_month(browser):
    """Pick it in the filter of the period; the days that it comes to, the last one excluded."""
    page = browser.page
    page.locator("[data-test=time-range-trigger]").click()
    window = page.locator(".ant-popover").filter(has_text="Edit time range")
    window.locator("[data-test='Range type']").click()
    page.locator(".ant-select-item-option", has_text="Last").first.click()
    window.get_by_text("Last month").first.click()
    days = window.get_by_text(re.compile(r"\d ≤ col < \d"))

    # Superset computes the days by itself: until then those of the choice before are shown.
    deadline = time.monotonic() + 300
    while True:
        first, end = re.findall(r"\d{4}-\d\d-\d\d", days.inner_text())
        if (date.fromisoformat(end) - date.fromisoformat(first)).days in range(28, 32):
            break
        assert time.monotonic() < deadline, (first, end)
        page.wait_for_timeout(100)
    window.locator("[data-test=date-filter-control__apply-button]").click()
    return first, end


@pytest.mark.long
def test_filter_of_the_period_reaches_the_charts(shop, browser):
    # Thirty days until midnight by the shop's clock, whatever the server's zone.
    today = datetime.now(ZoneInfo(shop.stack.config.shop.time_zone)).date()
    answers = browser.open("shop-analytics", charts=len(FIRST_TAB))
    names = shop.chart_names()
    shown = [a for number, a in answers.items() if names[number] != "as_of"]
    for answer in shown:
        for query in answer.queries:
            assert f"'{today - timedelta(days=30)}'" in query
            assert f"< TO_DATE('{today}'" in query
    open_analytics(browser, FIRST_TAB)
    first, end = choose_last_month(browser)
    for answer in apply_filters(browser, len(set(FIRST_TAB) - {"as_of"})).values():
        assert all(first in query and end in query for query in answer.queries)
    [(net, orders)] = shop.oltp(
        "select sum(net), count(*) from truth.orders where day >= %s and day < %s", first, end
    )
    assert number(tile(browser, "Net revenue")) == pytest.approx(
        float(net), abs=0.5 + 0.01 * orders
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


def test_order_written_now_appears_on_the_open_page_with_the_next_refresh(shop, browser):
    """So within the ten seconds promised, of which a busy machine's clock says nothing.

    Five at most until the page asks again, and a second or two to the view that it asks.
    """
    browser.open("live-shop", charts=len(charts_in(LIVE["layout"])))
    browser.page.evaluate("window.opened_once = true")
    order_id = write_order(shop)
    until_charts_can_read(shop, browser, order_id)
    asked = len(browser.answers)
    table = holder(browser, "Latest orders")
    row = table.locator("tr").filter(has=browser.page.get_by_text(str(order_id), exact=True))
    row.get_by_text("12,345.67 €").wait_for(timeout=SHOWN_MS)
    assert browser.page.evaluate("window.opened_once") is True
    assert LIVE["metadata"]["refresh_frequency"] <= 5
    answers = [a for a in browser.answers[asked:] if "live_latest_orders" in " ".join(a.queries)]
    # One may have been on its way.
    assert sum(str(order_id) not in str(answer.rows) for answer in answers) <= 1


def until_charts_can_read(shop, browser, order_id):
    deadline = time.monotonic() + SHOWN_MS / 1000
    query = f"select count(*) from mart.live_latest_orders where order_id = {order_id}"
    while shop.warehouse(query) != [(1,)]:
        assert time.monotonic() < deadline, f"order {order_id} did not come"
        browser.page.wait_for_timeout(100)
    # What has been answered until now is noted with this.
    browser.page.wait_for_timeout(100)


@pytest.mark.long
def test_stopped_pipeline_looks_different_from_a_shop_without_sales(shop, browser):
    browser.open("live-shop", charts=len(charts_in(LIVE["layout"])))
    pipeline = holder(browser, "Pipeline")
    # Nobody sells now, and heartbeats say that this is all.
    pipeline.get_by_text("LIVE", exact=True).first.wait_for(timeout=SHOWN_MS)
    with capture_paused(shop.stack):
        pipeline.get_by_text("STOPPED", exact=True).first.wait_for(timeout=SHOWN_MS)
        behind = holder(browser, "Behind the shop").locator(".header-line")
        behind.get_by_text(re.compile(r"\dm")).wait_for(timeout=SHOWN_MS)
    pipeline.get_by_text("LIVE", exact=True).first.wait_for(timeout=SHOWN_MS)
