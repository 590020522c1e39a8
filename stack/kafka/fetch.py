"""Fetches the locked jars. Run with the servers' packages on PYTHONPATH; imports nothing of ours.

python fetch.py REPOSITORY LOCK     writes `coordinate<TAB>path` for each file, verified
python fetch.py REPOSITORY --lock   reads coordinates from stdin, writes lines for jars.lock
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import MavenContext  # deptry: ignore[DEP004] - run with the servers' packages

_THREADS = 8


class Repository:
    """Files that jgo has downloaded, by coordinate `group:artifact:version[:classifier:type]`."""

    def __init__(self, folder: Path) -> None:
        self._maven = MavenContext(repo_cache=folder)

    def fetch(self, coordinate: str) -> Path:
        """The file, downloaded if it is not there."""
        group, artifact, version, *rest = coordinate.split(":")
        classifier, packaging = rest or ("", "jar")
        component = self._maven.project(group, artifact).at_version(version)
        return Path(component.artifact(classifier, packaging).resolve())

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
    """Fetch, side by side; the first that fails ends the program."""
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
            sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
