"""Build of Go programs from a locked module, with a temporary toolchain."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse.environment import process_environment
from stack.paths import LOCKS
from stack.tools import Tools, uv_install


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """Packages to build from the module in a folder, locked by its `go.mod` and `go.sum`."""

    name: str
    folder: Path
    packages: Sequence[str]
    tags: str = ""


def build(
    module: Module,
    tools: Tools,
    uv: Path,
    work: Path,
    result: Path,
    *,
    on_progress: Callable[[str], None],
) -> None:
    """Build a program for each package into `result`.

    Args:
        module: the packages to build.
        tools: runner of uv and Go.
        uv: installer of the Go toolchain.
        work: directory of toolchain, modules and build cache, reused after an interruption.
        result: directory of the programs.
        on_progress: called with the current step.

    Raises:
        StopPipelineError: the toolchain or a module cannot be fetched, or the build fails.
    """
    toolchain = work / "toolchain"
    on_progress("fetching Go")
    uv_install(tools, uv, LOCKS / "go.txt", toolchain)
    seen: set[str] = set()

    def on_line(line: str) -> bool:
        if match := re.match(r"go: downloading (\S+)", line):
            on_progress(f"fetching {match[1][-40:]}")
        elif re.fullmatch(r"[\w./-]+", line):
            seen.add(line)
            on_progress(f"{len(seen)} packages compiled")
        elif line.startswith("the network failed, "):
            on_progress(line)
        else:
            return False
        return True

    go = toolchain / "go" / "bin" / "go"
    tools.run_with_retries(
        [
            go, "build", "-v", "-trimpath", "-tags", module.tags,
            "-ldflags", "-s -w", "-o", f"{result}/", *module.packages,
        ],
        env=process_environment() | environment(work, toolchain / "go") | _modules(tools, go),
        cwd=module.folder,
        on_line=on_line,
    )  # fmt: skip


def environment(work: Path, goroot: Path) -> dict[str, str]:
    """Return Go's environment: all paths in `work`, locked modules, no other toolchain."""
    temporary = work / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        "CGO_ENABLED": "0",
        # A compiler lives for seconds: collecting its garbage is a quarter of the work.
        "GOGC": "300",
        "GOMEMLIMIT": "1GiB",
        "GOCACHE": str(work / "build"),
        "GOFLAGS": "-mod=readonly",
        "GOMODCACHE": str(work / "modules"),
        "GOPATH": str(work / "path"),
        "GOROOT": str(goroot),
        "GOTMPDIR": str(temporary),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _modules(tools: Tools, go: Path) -> dict[str, str]:
    """Return where modules come from: the user's own cache, if there is one, before the network.

    It is only read, and `go.sum` decides whether what is in it is what is locked.
    """
    told: list[str] = []

    def keep(line: str) -> bool:
        told.append(line)
        return True

    own = process_environment() | {"GOTOOLCHAIN": "local"}
    tools.run([go, "env", "GOMODCACHE", "GOPROXY"], env=own, on_line=keep)
    match told:
        case [cache, proxies] if (kept := Path(cache) / "cache" / "download").is_dir():
            # Behind a comma the next would only be asked for what is not there: a file that
            # cannot be read would fail the build.
            return {"GOPROXY": f"{kept.as_uri()}|{proxies}"}
    return {}
