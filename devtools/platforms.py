"""Check that everything that is locked exists for other machines: `python -m devtools.platforms`.

Asks the package index through uv which locked packages have no wheel for a Python and a platform;
and looks into the jars of Kafka and Connect that have native code, which must be installed. What
`bench peers` compares with (`locks/peers/`) is not among it.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator

from lakehouse.settings import StackSettings, default_uv
from stack.paths import LOCKS, Cache

PLATFORMS = {
    "Linux x86_64": "x86_64-unknown-linux-gnu",
    "Linux arm64": "aarch64-unknown-linux-gnu",
    "macOS arm64": "aarch64-apple-darwin",
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SUPERSET_PYTHONS = ("3.11", "3.12")
"""Superset 6.1 pins packages without wheels for newer ones; uv brings one of these."""
FROM_SOURCE = {"superset": {"odfpy", "wtforms-json"}, "spark": {"pyspark"}}
"""Packages without native code that nobody made a wheel of, by lock: they are built anywhere."""
_NATIVE = re.compile(r"\.(so|dylib|jnilib|dll)$")
_NATIVE_FOR = {
    "Linux x86_64": re.compile(r"linux/(amd64|x86_64)/", re.IGNORECASE),
    "Linux arm64": re.compile(r"linux/aarch64/", re.IGNORECASE),
    "macOS arm64": re.compile(r"(darwin|mac)/aarch64/", re.IGNORECASE),
}


def main() -> None:
    """Print what is missing, and exit with status 1 if anything is."""
    missing = [*_wheels(), *_jars()]
    print(*(missing or ["everything that is locked exists"]), sep="\n")  # noqa: T201
    sys.exit(bool(missing))


def _wheels() -> Iterator[str]:
    for name in sorted(lock.stem for lock in LOCKS.glob("*.txt")):
        for python in SUPERSET_PYTHONS if name == "superset" else PYTHONS:
            for title, platform in PLATFORMS.items():
                lacking = _without_wheel(name, python, platform) - FROM_SOURCE.get(name, set())
                if lacking:
                    yield f"{name}, Python {python}, {title}: no wheel of {sorted(lacking)}"


def _without_wheel(name: str, python: str, platform: str) -> set[str]:
    """Return the packages of a lock that have no wheel; uv names one at a time."""
    lacking: set[str] = set()
    with tempfile.TemporaryDirectory() as target:
        command = [
            str(default_uv()), "pip", "install", "--dry-run", "--no-deps", "--target", target,
            "--python-version", python, "--python-platform", platform, "--require-hashes",
            "--requirement", str(LOCKS / f"{name}.txt"), "--only-binary", ":all:",
        ]  # fmt: skip
        while True:
            allowed = [word for package in lacking for word in ("--no-binary", package)]
            result = subprocess.run(
                [*command, *allowed], capture_output=True, text=True, check=False
            )
            if result.returncode == 0:
                return lacking
            told = " ".join(result.stderr.split())
            found = re.search(r"Because (\S+?)==\S+ has no (?:usable )?wheels", told)
            if found is None or found[1] in lacking:
                sys.exit(f"{name}, Python {python}, {platform}: {told}")
            lacking.add(found[1])


def _jars() -> Iterator[str]:
    jars = sorted(Cache(root=StackSettings().cache_dir).kafka.rglob("*.jar"))
    if not jars:
        yield "jars not checked: Kafka is not installed, run ./pipeline up kafka first"
    for jar in jars:
        native = [file for file in zipfile.ZipFile(jar).namelist() if _NATIVE.search(file)]
        for title, pattern in _NATIVE_FOR.items():
            if native and not any(pattern.search(file) for file in native):
                yield f"{jar.name}: no native code for {title}"


if __name__ == "__main__":
    main()
