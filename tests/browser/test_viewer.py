"""Who may only look: sees every chart, changes nothing; and the screen on a wall."""

import re

import pytest
from playwright.sync_api import expect

from benchmarks.browser import Dashboards
from stack.superset.files import read_files
from stack.superset.layout import charts_at_first
from stack.web_uis import WEB_UIS
from tests.pictures import keep_picture

pytestmark = pytest.mark.browser
EDIT = "[data-test='edit-dashboard-button']"


@pytest.fixture(scope="module")
def viewing(shop, logged_in):
    """A second browser session, of the viewer."""
    login = WEB_UIS["viewer"](shop.stack.config, shop.stack.secrets)
    context = logged_in.page.context.browser.new_context(viewport={"width": 1920, "height": 1080})
    found = Dashboards(page=context.new_page(), url=login.url)
    found.watch()
    found.log_in(login.user, login.password)
    found.errors.clear()
    yield found
    context.close()


def first_charts(slug):
    content = next(c for c in read_files()["dashboards"].values() if c["slug"] == slug)
    return len(charts_at_first(content["layout"]))


@pytest.mark.long
def test_viewer_sees_all_charts_of_the_analytics_and_cannot_edit(viewing, browser):
    assert_viewer_only_looks(viewing, browser, "shop-analytics")


def assert_viewer_only_looks(viewing, browser, slug):
    viewing.errors.clear()
    answers = viewing.open(slug, charts=first_charts(slug))
    assert {answer.status for answer in answers.values()} == {200}
    # Of others: Superset's page tries to store the colours of labels, whoever looks at it.
    assert [error for error in viewing.errors if "/chart/" in error] == []
    assert viewing.page.locator(EDIT).count() == 0
    browser.open(slug, charts=first_charts(slug))
    expect(browser.page.locator(EDIT)).to_have_count(1)


_ASK = """async ([method, path, body]) => {
    const token = document.getElementById("csrf_token").value;
    const headers = {"X-CSRFToken": token, "Content-Type": "application/json"};
    const answer = await fetch(path, {method, headers, body, redirect: "manual"});
    return answer.type === "opaqueredirect" ? 302 : answer.status;
}"""


def test_viewer_sees_all_charts_of_the_live_page_and_can_change_nothing(viewing, browser, shop):
    """The same requests, with the token of the page, that the administrator may make."""
    assert_viewer_only_looks(viewing, browser, "live-shop")
    chart = next(iter(shop.chart_names()))
    asked = [
        ["PUT", f"/api/v1/chart/{chart}", '{"slice_name": 1}'],
        ["POST", "/api/v1/chart/", "{}"],
        ["POST", "/api/v1/dashboard/", '{"dashboard_title": 1}'],
        ["POST", "/api/v1/sqllab/execute/", "{}"],
        ["DELETE", "/api/v1/chart/0", None],
    ]
    viewers, administrators = (
        {who.page.evaluate(_ASK, one) for one in asked} for who in (viewing, browser)
    )
    assert viewers <= {302, 403}
    # These lack nothing but sense.
    assert administrators <= {400, 404, 422}


@pytest.mark.long
def test_wall_has_no_menu_and_refreshes_by_itself(viewing, shop):
    count = first_charts("live-shop")
    viewing.answers.clear()
    viewing.page.goto(WEB_UIS["wall"](shop.stack.config, shop.stack.secrets).url)
    viewing.drawn(count)
    assert viewing.page.locator("#main-menu").count() == 0
    viewing.answers.clear()
    viewing.drawn(count)


@pytest.mark.long
def test_phone_shows_one_column_that_fits(viewing, shop):
    page = viewing.page
    page.set_viewport_size({"width": 390, "height": 844})
    viewing.answers.clear()
    page.goto(WEB_UIS["phone"](shop.stack.config, shop.stack.secrets).url)
    viewing.drawn(first_charts("live-phone"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for chart in page.locator("[data-test='chart-grid-component']").all():
        box = chart.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert page.locator("[data-test='dashboard-component-chart-holder']").count() == 9
    page.set_viewport_size({"width": 1920, "height": 1080})


@pytest.fixture
def french(shop):
    """Superset in French, and in English again."""
    stack = shop.stack
    try:
        stack.env["SHOP_LANGUAGE"] = "fr"
        stack.run("up", "superset", timeout=580)
        yield
    finally:
        del stack.env["SHOP_LANGUAGE"]
        stack.run("up", "superset", timeout=580)


@pytest.mark.long  # Superset starts twice; the texts are tested without it
def test_french_shop_has_french_pages(french, viewing):
    answers = viewing.open("shop-analytics", charts=first_charts("shop-analytics"))
    assert {answer.status for answer in answers.values()} == {200}
    page = viewing.page
    keep_picture(page, "shop_analytics_in_french")
    text = page.inner_text("body")
    for word in ("Analyse de la boutique", "CA net", "Panier moyen", "Période", "Appliquer"):
        assert word in text
    number = page.locator(".header-line").filter(has_text="€").first.inner_text()
    assert re.fullmatch(r"\d{1,3}(\u202f\d{3})*(,\d+)?\s€", number), number
    assert {"Site web", "Application mobile"} <= {
        row["channel"] for answer in answers.values() for row in answer.rows if "channel" in row
    }
    assert "Dimanche" not in text
