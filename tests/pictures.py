"""Pictures of pages, as output of the tests."""

from playwright.sync_api import Page

from lakehouse.settings import ROOT

_FOLDER = ROOT / "var" / "screenshots"


def keep_picture(page: Page, name: str) -> None:
    """Keep what the browser shows, all of the page."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": 1920, "height": max(1080, height)})
    page.wait_for_timeout(1500)
    page.screenshot(path=str(_FOLDER / f"{name}.png"))
    page.set_viewport_size({"width": 1920, "height": 1080})
