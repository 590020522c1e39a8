"""An environment of its own for each system that benchmarks compare with, in the cache."""

from pathlib import Path

from lakehouse.errors import StopPipelineError
from lakehouse.settings import ROOT, default_uv
from stack.cache import ensure
from stack.environment import install_environment
from stack.kafka.install import fetch_jars
from stack.paths import LOCKS, Cache, digest_of
from stack.tools import Tools


def peer_environment(cache: Cache, name: str) -> Path:
    """Return the folder of a system, which is installed from its locks unless it is there.

    Raises:
        StopPipelineError: something cannot be fetched, or differs from its lock.
    """
    lock = LOCKS / "peers" / f"{name}.txt"
    jars = ROOT / "benchmarks" / "peer_programs" / f"{name}.lock"
    locks = [path for path in (lock, jars) if path.exists()]
    tools, uv = Tools(), default_uv()
    if uv is None:
        message = "No uv to install with: run through ./pipeline, or put uv on the PATH."
        raise StopPipelineError(message)

    def make(work: Path, result: Path) -> None:
        if lock.exists():
            install_environment(tools, uv, lock, result)
        if jars.exists():
            (result / "jars").mkdir()
            for jar in fetch_jars(tools, cache.servers, work / "repository", jars):
                jar.rename(result / "jars" / jar.name)

    folder = cache.root / "peers" / f"{name}-{digest_of(*locks)}"
    ensure(folder, make)
    return folder
