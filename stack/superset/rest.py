"""Client of Superset's REST interface for dashboards."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import yaml

from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.http import http_client

_KINDS = {"datasets": "dataset", "charts": "chart", "dashboards": "dashboard"}
_PAGE = 100
"""Maximum page size of its lists."""


class Superset:
    """An authenticated session."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def import_assets(self, files: Mapping[str, Any]) -> None:
        """Import these files, all or none.

        Args:
            files: by path in the bundle.

        Raises:
            StopPipelineError: Superset refuses a file; the message names it and the reason.
        """
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
            for path, content in files.items():
                bundle.writestr(f"assets/{path}", yaml.safe_dump(content, sort_keys=False))
        upload = {"bundle": ("assets.zip", buffer.getvalue(), "application/zip")}
        self._ask("POST", "/api/v1/assets/import/", files=upload)

    def export_assets(self) -> dict[str, Any]:
        """Export all objects, by path in the bundle."""
        content = self._ask("GET", "/api/v1/assets/export/").content
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            return {
                name.partition("/")[2]: yaml.safe_load(bundle.read(name))
                for name in bundle.namelist()
            }

    def list(self, kind: str) -> Iterator[dict[str, Any]]:
        """List all objects of a kind, with `id` and `uuid`."""
        page = 0
        while True:
            query = f"(page:{page},page_size:{_PAGE})"
            found = self._ask("GET", f"/api/v1/{_KINDS[kind]}/", params={"q": query}).json()
            yield from found["result"]
            page += 1
            if page * _PAGE >= found["count"]:
                return

    def delete(self, kind: str, numbers: Iterable[int]) -> None:
        """Delete objects of a kind, by their `id`."""
        listed = ",".join(map(str, numbers))
        self._ask("DELETE", f"/api/v1/{_KINDS[kind]}/", params={"q": f"!({listed})"})

    def _ask(self, method: str, path: str, **parts: Any) -> httpx.Response:  # noqa: ANN401
        answer = self._client.request(method, path, **parts)
        if answer.is_error:
            message = f"Superset refuses {method} {path} ({answer.status_code}): {answer.text}"
            raise StopPipelineError(message)
        return answer


@contextmanager
def logged_in(url: str, user: str, password: str) -> Iterator[Superset]:
    """Log in and return a session.

    Raises:
        RetryLaterError: Superset does not answer.
        StopPipelineError: Superset refuses the login.
    """
    try:
        with http_client(url, timeout=120, headers={"Referer": url}) as client:
            who = {"username": user, "password": password, "provider": "db", "refresh": False}
            answer = client.post("/api/v1/security/login", json=who)
            if answer.is_error:
                problem = f"Superset at {url} refuses the login of {user} ({answer.status_code})"
                action = (
                    "Was the password changed in the browser? Set it back to the one in "
                    "secrets.json."
                )
                raise StopPipelineError(problem, action)
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            token = client.get("/api/v1/security/csrf_token/").raise_for_status().json()["result"]
            client.headers["X-CSRFToken"] = token
            yield Superset(client)
    except httpx.HTTPError as error:
        problem = f"Superset at {url} does not answer: {error}"
        raise RetryLaterError(problem, "Is it up? ./pipeline status") from error
