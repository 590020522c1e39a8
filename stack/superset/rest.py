"""Superset's REST interface, as far as dashboards need it."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import yaml

from lakehouse.errors import RetryLaterError, StopPipelineError

_KINDS = {"datasets": "dataset", "charts": "chart", "dashboards": "dashboard"}
_PAGE = 100
"""Most that it lists at a time."""


class Superset:
    """One session of somebody who has logged in."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def import_assets(self, files: Mapping[str, Any]) -> None:
        """Take over these files, all of them or none.

        Args:
            files: by path in the bundle.

        Raises:
            StopPipelineError: Superset refuses one: which, and why.
        """
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
            for path, content in files.items():
                bundle.writestr(f"assets/{path}", yaml.safe_dump(content, sort_keys=False))
        upload = {"bundle": ("assets.zip", buffer.getvalue(), "application/zip")}
        self._ask("POST", "/api/v1/assets/import/", files=upload)

    def export_assets(self) -> dict[str, Any]:
        """All that it has, by path in the bundle."""
        content = self._ask("GET", "/api/v1/assets/export/").content
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            return {
                name.partition("/")[2]: yaml.safe_load(bundle.read(name))
                for name in bundle.namelist()
            }

    def list(self, kind: str) -> Iterator[dict[str, Any]]:
        """Everything of a kind, with `id` and `uuid`."""
        page = 0
        while True:
            query = f"(page:{page},page_size:{_PAGE})"
            found = self._ask("GET", f"/api/v1/{_KINDS[kind]}/", params={"q": query}).json()
            yield from found["result"]
            page += 1
            if page * _PAGE >= found["count"]:
                return

    def delete(self, kind: str, numbers: Iterable[int]) -> None:
        """Delete things of a kind, by their `id`."""
        listed = ",".join(map(str, numbers))
        self._ask("DELETE", f"/api/v1/{_KINDS[kind]}/", params={"q": f"!({listed})"})

    def chart_data(self, query_context: Mapping[str, Any]) -> dict[str, Any]:
        """What a chart is drawn from."""
        found: dict[str, Any] = self._ask("POST", "/api/v1/chart/data", json=query_context).json()
        return found

    def _ask(self, method: str, path: str, **parts: Any) -> httpx.Response:  # noqa: ANN401
        answer = self._client.request(method, path, **parts)
        if answer.is_error:
            message = f"Superset refuses {method} {path} ({answer.status_code}): {answer.text}"
            raise StopPipelineError(message)
        return answer


@contextmanager
def logged_in(url: str, user: str, password: str) -> Iterator[Superset]:
    """A session.

    Raises:
        RetryLaterError: it does not answer.
        StopPipelineError: it does not let this user in.
    """
    try:
        with httpx.Client(base_url=url, timeout=120, headers={"Referer": url}) as client:
            who = {"username": user, "password": password, "provider": "db", "refresh": False}
            answer = client.post("/api/v1/security/login", json=who)
            if answer.is_error:
                message = (
                    f"Superset at {url} does not let {user} in ({answer.status_code}). Was the "
                    "password changed in the browser? Set it back to the one in secrets.json."
                )
                raise StopPipelineError(message)
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            token = client.get("/api/v1/security/csrf_token/").raise_for_status().json()["result"]
            client.headers["X-CSRFToken"] = token
            yield Superset(client)
    except httpx.HTTPError as error:
        message = f"Superset at {url} does not answer: {error}. Is it up? ./pipeline status"
        raise RetryLaterError(message) from error
