"""Fetches the locked jars. Run with the servers' packages and `stack.retries` on PYTHONPATH.

python fetch.py REPOSITORY LOCK     writes `coordinate<TAB>path` for each file, verified
python fetch.py REPOSITORY --lock   reads coordinates from stdin, writes lines for jars.lock
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests  # deptry: ignore[DEP001] - run with the servers' packages
from jgo.maven import (  # deptry: ignore[DEP004] - run with the servers' packages
    MavenContext,
    PythonResolver,
)

from stack.retries import with_retries

_THREADS = 8
_TIMEOUT_SECONDS = 30
_BUSY = frozenset({408, 429, 500, 502, 503, 504})


class _Downloads(PythonResolver):  # type: ignore[misc] # jgo is not in the project's environment
    """Downloads as jgo's own resolver, which takes any answer but 200 for "not found"."""

    def download(self, artifact: Any) -> Path:  # noqa: ANN401 - of jgo
        """The file, whole, where jgo looks for it."""
        [remote] = artifact.context.remote_repos.values()
        url = f"{remote}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
        place = Path(artifact.cached_path)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.part")
        with requests.get(url, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            with part.open("wb") as file:
                for chunk in response.iter_content(2**16):
                    file.write(chunk)
        return part.replace(place)


class Repository:
    """Files that jgo has downloaded, by coordinate `group:artifact:version[:classifier:type]`."""

    def __init__(self, folder: Path) -> None:
        self._maven = MavenContext(repo_cache=folder, resolver=_Downloads())

    def fetch(self, coordinate: str) -> Path:
        """The file, downloaded if it is not there; again, where the network failed."""
        group, artifact, version, *rest = coordinate.split(":")
        classifier, packaging = rest or ("", "jar")
        component = self._maven.project(group, artifact).at_version(version)
        file = component.artifact(classifier, packaging)
        try:
            return Path(with_retries(file.resolve, should_retry=_may_be_gone))
        except requests.RequestException as error:
            message = f"{coordinate}: {_reason(error)}"
            raise OSError(message) from error

    def fetch_verified(self, coordinate: str, sha256: str) -> Path:
        """The file, if it is the one that was locked."""
        path = self.fetch(coordinate)
        if sha256_of(path) != sha256:
            path.unlink()  # cut short by an earlier run, perhaps: once more, from the start
            path = self.fetch(coordinate)
        if (found := sha256_of(path)) != sha256:
            path.unlink()
            message = f"{coordinate}: SHA-256 is {found}, locked is {sha256}. It was not kept."
            raise ValueError(message)
        return path


def _may_be_gone(error: Exception) -> bool:
    """Whether the next try may go well: a fault of the network, or a repository that is busy."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _BUSY
    faults = (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    )
    # Of TLS, a certificate that is refused stays so; a connection that is cut does not.
    return isinstance(error, faults) and "certificate" not in str(error).lower()


def _reason(error: requests.RequestException) -> str:
    """What was wrong, without the calls that it went through."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return re.sub(r"^\w+\([^()]*\): ", "", str(inner or error))


def sha256_of(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lock(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Coordinate and SHA-256 of each line that is not a comment."""
    for line in lines:
        if line.strip() and not line.startswith("#"):
            coordinate, sha256 = line.split()
            yield coordinate, sha256


def main(folder: str, lock: str) -> None:
    """Fetch, side by side; the first that fails in all its tries ends the program."""
    repository = Repository(Path(folder))

    def verified(entry: tuple[str, str]) -> str:
        return f"{entry[0]}\t{repository.fetch_verified(*entry)}"

    def locked(line: str) -> str:
        return f"{line.strip()} {sha256_of(repository.fetch(line.strip()))}"

    with ThreadPoolExecutor(_THREADS) as pool:
        if lock == "--lock":
            results = pool.map(locked, sys.stdin)
        else:
            results = pool.map(verified, read_lock(Path(lock).read_text().splitlines()))
        try:
            for result in results:
                print(result, flush=True)  # noqa: T201 - this is the program's answer
        except Exception as error:  # noqa: BLE001 - whatever jgo raises ends the program
            pool.shutdown(cancel_futures=True)
            sys.exit(str(error) or type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
