"""Pictures of pages, as output of the tests."""

from playwright.sync_api import Page

from lakehouse.settings import ROOT

_FOLDER = ROOT / "var" / "screenshots"
_BOTTOM = """() => Math.max(1080, ...[...document.querySelectorAll(
    '.dashboard-component-chart-holder'
)].map(chart => Math.ceil(chart.getBoundingClientRect().bottom + window.scrollY) + 24))"""


def keep_picture(page: Page, name: str) -> None:
    """Keep what the browser shows, all of the page.

    The window stays as high as the page: charts are drawn again whenever it changes.
    """
    _FOLDER.mkdir(parents=True, exist_ok=True)
    height = page.evaluate(_BOTTOM)
    if height > page.viewport_size["height"]:
        page.set_viewport_size({"width": 1920, "height": height})
        page.wait_for_timeout(1500)
    clip = {"x": 0, "y": 0, "width": 1920, "height": height}
    page.screenshot(path=str(_FOLDER / f"{name}.png"), clip=clip)
