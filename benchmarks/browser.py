"""A real browser, above all on Superset's pages: Debian's Chromium. For tests and benchmarks."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Request, Response, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from devtools import debian
from lakehouse.errors import StopPipelineError
from stack.web_uis import WebUI

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
_SCREEN = {"width": 1920, "height": 1080}
_PATIENCE_SECONDS = 90.0
_LOGINS = 3
_LOADING = ".loading, .ant-skeleton"
_CHART_DATA = "/api/v1/chart/data"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartAnswer:
    """What Superset answered to one chart's request. `number` is Superset's own of the chart."""

    number: int
    status: int
    results: list[dict[str, Any]]

    @property
    def queries(self) -> list[str]:
        """The SQL that was run."""
        return [result["query"] for result in self.results]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The first query's rows: a second one has totals."""
        return (self.results[0].get("data") or []) if self.results else []


@dataclass(kw_only=True)
class Dashboards:
    """A browser whose user has logged in, and what it has seen."""

    page: Page
    url: str
    answers: list[ChartAnswer] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    """Requests that left for elsewhere and were not stopped by the page's own policy."""
    errors: list[str] = field(default_factory=list)
    """Answers that were errors."""

    def open(self, slug: str, *, charts: int, query: str = "") -> dict[int, ChartAnswer]:
        """Open a dashboard, and wait until so many charts are drawn; their answers by number."""
        self.answers.clear()
        self.page.goto(f"{self.url}/superset/dashboard/{slug}/{query}")
        return self.drawn(charts)

    def open_tab(self, name: str, *, charts: int) -> dict[int, ChartAnswer]:
        """Turn to a tab that was not looked at yet."""
        self.answers.clear()
        self.page.get_by_role("tab", name=name).click()
        return self.drawn(charts)

    def drawn(self, charts: int) -> dict[int, ChartAnswer]:
        """Wait until so many charts have had their answers and have been drawn.

        Raises:
            StopPipelineError: they were not.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.page.wait_for_timeout(250)
            answered = {answer.number: answer for answer in self.answers}
            if len(answered) >= charts and not self.page.locator(_LOADING).count():
                self.page.wait_for_timeout(1000)  # lines and bars grow for a moment
                return answered
        message = (
            f"{len({a.number for a in self.answers})} of {charts} charts were drawn on "
            f"{self.page.url}. Answers that were errors: {self.errors or 'none'}."
        )
        raise StopPipelineError(message)

    def log_in(self, user: str, password: str) -> None:
        """Go through the login page, again where a busy server dropped or left the request.

        Raises:
            StopPipelineError: the page does not let us in.
        """
        for _ in range(_LOGINS):
            self.page.goto(f"{self.url}/login/")
            self.page.locator("input[type=text]").first.fill(user)
            self.page.locator("input[type=password]").fill(password)
            self.page.locator("button[type=submit]").click()
            with suppress(PlaywrightTimeoutError):
                # Where the connection breaks, the browser shows a page of its own.
                self.page.wait_for_url(
                    lambda url: url.startswith(self.url) and "/login" not in url,
                    wait_until="commit",
                )
                if self.page.request.get(f"{self.url}/api/v1/me/").ok:
                    return
        message = (
            f"Superset did not let us in, {_LOGINS} times. The page is {self.page.url}. "
            f"Answers that were errors: {self.errors or 'none'}."
        )
        raise StopPipelineError(message)

    def watch(self) -> None:
        """Note what the page asks for, and what it gets."""
        self.page.on("requestfinished", self._note_request)
        self.page.on("response", self._note_response)

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.outside.append(request.url)

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.status} {response.url}")
        number = _chart_of(response)
        if number is not None:
            try:
                body = response.json()
            except PlaywrightError:
                return  # the page has been left before it came
            results = body.get("result")
            self.answers.append(
                ChartAnswer(number=number, status=response.status, results=results or [])
            )


@contextmanager
def new_page() -> Iterator[Page]:
    """A page of a fresh browser.

    Raises:
        StopPipelineError: there is no Chromium, and it cannot be installed.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find_chromium()), args=list(_ARGUMENTS)
        )
        try:
            page = browser.new_page(viewport=_SCREEN)  # type: ignore[arg-type] # its own TypedDict
            page.set_default_timeout(1000 * _PATIENCE_SECONDS)
            yield page
        finally:
            browser.close()


@contextmanager
def logged_in_browser(login: WebUI) -> Iterator[Dashboards]:
    """A browser that has gone through Superset's login page.

    Raises:
        StopPipelineError: there is no Chromium, and it cannot be installed.
    """
    with new_page() as page:
        found = Dashboards(page=page, url=login.url)
        found.watch()
        found.log_in(login.user, login.password)
        found.errors.clear()
        yield found


def find_chromium() -> Path:
    """The system's Chromium; where there is none, and we may, Debian's is installed.

    Raises:
        StopPipelineError: there is none, and how to get one.
    """
    found = _on_path()
    if found is None and debian.can_install():
        debian.install("chromium", "fonts-dejavu-core")
        found = _on_path()
    if found is None:
        message = (
            "There is no Chromium for the tests of the dashboards. Install your system's package "
            "(Debian: apt-get install chromium)."
        )
        raise StopPipelineError(message)
    return found


def _chart_of(response: Response) -> int | None:
    """The chart that an answer is for. Lists of values for filters are for none."""
    address = urlsplit(response.url)
    if address.path == _CHART_DATA:
        form = json.loads(response.request.post_data or "{}").get("form_data", {})
    else:
        return None
    number: int | None = form.get("slice_id")
    return number


def _on_path() -> Path | None:
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    return None
