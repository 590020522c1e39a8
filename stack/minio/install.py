"""MinIO, built from the locked module with a Go toolchain that is thrown away afterwards."""

import re
from collections.abc import Callable
from pathlib import Path

from lakehouse.environment import process_environment
from stack.layout import GO_MODULE, LOCKS
from stack.tools import Tools, uv_install

_PACKAGE = "github.com/minio/minio"


def build_minio(
    tools: Tools, uv: Path, work: Path, result: Path, *, on_progress: Callable[[str], None]
) -> None:
    """Put the program `minio` into `result`.

    Args:
        tools: runs uv and Go.
        uv: installs the Go toolchain.
        work: keeps toolchain, modules and build cache, should this be interrupted.
        result: what to fill.
        on_progress: told what is being done.

    Raises:
        StopPipelineError: the toolchain or a module cannot be fetched, or the build fails.
    """
    toolchain = work / "toolchain"
    on_progress("fetching Go")
    uv_install(tools, uv, LOCKS / "go.txt", toolchain)
    seen: set[str] = set()

    def on_line(line: str) -> None:
        if match := re.match(r"go: downloading (\S+)", line):
            on_progress(f"fetching {match[1][-40:]}")
        elif re.fullmatch(r"[\w./-]+", line):
            seen.add(line)
            on_progress(f"{len(seen)} packages compiled")

    tools.run(
        [
            toolchain / "go" / "bin" / "go", "build", "-v", "-trimpath", "-ldflags", "-s -w",
            "-o", result / "minio", _PACKAGE,
        ],
        env=process_environment() | go_environment(work, toolchain / "go"),
        cwd=GO_MODULE,
        on_line=on_line,
    )  # fmt: skip


def go_environment(work: Path, goroot: Path) -> dict[str, str]:
    """Go's own environment: everything in `work`, the locked modules, and no other toolchain."""
    temporary = work / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        "CGO_ENABLED": "0",
        "GOCACHE": str(work / "build"),
        "GOFLAGS": "-mod=readonly",
        "GOMODCACHE": str(work / "modules"),
        "GOPATH": str(work / "path"),
        "GOROOT": str(goroot),
        "GOTMPDIR": str(temporary),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
