"""What an engine of our own needs that Debian does not have: Compose v2 and buildx, built by Go.

In the pipeline's cache, made once, from locked modules.
"""

import hashlib
from pathlib import Path

from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError
from lakehouse.settings import default_uv
from stack import go as go_builds
from stack.cache import ensure
from stack.paths import LOCKS
from stack.tools import Tools, uv_install

_MODULE = Path(__file__).with_name("plugins")
_PLUGINS = {
    "docker-compose": ("github.com/docker/compose/v2", "cmd", "internal.Version"),
    "docker-buildx": ("github.com/docker/buildx", "cmd/buildx", "version.Version"),
}
"""A plugin, its module, its package there, and the variable with the version that it tells."""


def digest(*files: Path) -> str:
    """Changes with the content of any of the files."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


def go(cache: Path) -> Path:
    """The root of the locked Go."""
    folder = cache / f"go-{digest(LOCKS / 'go.txt')}"

    def make(_work: Path, result: Path) -> None:
        uv = default_uv()
        if uv is None:
            message = "No uv to install Go with: run through ./pipeline, which brings one."
            raise StopPipelineError(message)
        uv_install(Tools(), uv, LOCKS / "go.txt", result)

    ensure(folder, make)
    return folder / "go"


def plugins(cache: Path) -> Path:
    """A folder of plugins for the `docker` command."""
    locked = [_MODULE / "go.mod", _MODULE / "go.sum", LOCKS / "go.txt"]
    folder = cache / f"docker-plugins-{digest(*locked)}"

    def make(work: Path, result: Path) -> None:
        environment = process_environment() | go_builds.environment(work, go(cache))
        for name, (module, package, variable) in _PLUGINS.items():
            flags = f"-s -w -X {module}/{variable}={_version(module)}"
            command = [
                go(cache) / "bin" / "go", "build", "-trimpath", "-ldflags", flags,
                "-o", result / name, f"{module}/{package}",
            ]  # fmt: skip
            Tools().run_with_retries(command, env=environment, cwd=_MODULE)

    ensure(folder, make)
    return folder


def _version(module: str) -> str:
    words = (_MODULE / "go.mod").read_text().split()
    return words[words.index(module) + 1]
