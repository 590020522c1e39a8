"""Commands for developers: settings, check, test, bench, docs, lock."""

import importlib
import json
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from cli.output import Format, FormatOption, console, print_json, print_rows
from lakehouse.choices import refuse_unknown
from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError
from lakehouse.settings import (
    ALL_SETTINGS,
    ROOT,
    StackSettings,
    default_uv,
    settings_in_environment,
)
from lakehouse.settings_document import settings_document
from lakehouse.variables import variables_of
from stack.disk import IN_MEMORY, has_room_in_memory
from stack.install import installing
from stack.paths import Cache
from stack.progress import silent

app = typer.Typer()

_WITH_SQL = ("producers", "connectors", "batch", "warehouse_sql")
CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Slowest first: two run in parallel.
    ("types", ("mypy",)),
    ("SQL", ("sqlfluff", "lint", "--nocolor", "--processes", "2", *_WITH_SQL)),
    ("layers", ("lint-imports", "--no-cache")),
    ("format", ("ruff", "format", "--check", ".")),
    ("lint", ("ruff", "check", ".")),
    ("dependencies", ("deptry", ".")),
    ("spelling", ("typos",)),
)
"""Checks that need no service and change no file, as in `.pre-commit-config.yaml`."""
BENCHMARKS = (
    "landing", "landers", "freshness", "live", "hops", "simulate", "consolidation", "load",
    "charts", "derived", "replay", "spark", "peers", "dbt", "recommendations", "ceiling",
)  # fmt: skip
LOCKS = {
    "project": "dev",
    "servers": "servers",
    "airflow": "airflow",
    "spark": "spark",
    "superset": "superset",
    "go": "go",
    "seaweedfs": "seaweedfs",
    "kubernetes": "kubernetes",
    "uv": "uv",
    **{
        f"peers/{name}": f"peer-{name}"
        for name in ("dbt", "dlt", "quix", "recommendations", "spark")
    },
}
"""Dependency group in pyproject.toml, by lock file."""
_SIDE_BY_SIDE = ("-n", "2")
"""Two workers: tests often wait for services, so a second stack uses the idle time. With a third
one the cores were never idle, but the tests on services took 16 minutes instead of 15."""
_ON_REAL_SERVICES = ("integration", "browser", "faults")
_SERVERS = ("servers", "kafka", "minio", "seaweedfs", "airflow", "superset", "spark", "kubernetes")
"""Parts of the cache that tests need."""
_SLACK = 1.0
"""Percentage points by which coverage may exceed its minimum before it has to be raised."""
_COUNTED_BY = (3, 11)
"""Python whose compiler the minimum counts lines by: from 3.14 on, annotations are none."""
_WITH_PROJECT = {"project", "airflow", "spark"}
"""Locks of environments into which the project itself is installed."""


@app.command(rich_help_panel="Develop")
def settings(output: FormatOption = Format.TABLE) -> None:
    """List every setting: variable, value, default, unit, meaning, and when to change it.

    What a setting may hold is in the JSON. docs/SETTINGS.md has the same by group.

    Example: ./pipeline settings --format json
    """
    rows = _settings_rows()
    if output is Format.JSON:
        print_json(rows)
        return
    shown = ("variable", "value", "default", "unit", "meaning")
    for row in rows:
        row["default"] = row["default"] if row["set"] else "same"
        # Six columns would be too narrow for paths.
        when = row["change"]
        row["meaning"] += f" Change it {when[0].lower()}{when[1:]}"
    print_rows([{name: row[name] for name in shown} for row in rows])


@app.command(rich_help_panel="Develop")
def check(
    *, fast: Annotated[bool, typer.Option("--fast", help="Skip the unit tests.")] = False
) -> None:
    """Check format, lint, types, import layers, SQL, dependencies, spelling; run unit tests.

    The branch coverage of the unit tests has a minimum in pyproject.toml, which
    is only raised.

    Example: ./pipeline check --fast
    """
    failed = _failed_checks()
    if not fast and not _unit_tests_pass():
        failed.append("unit tests")
    if failed:
        console.print(f"[bold red]failed:[/] {', '.join(failed)}")
        raise typer.Exit(1)
    console.print("[bold green]all checks passed[/]")


@app.command(
    rich_help_panel="Develop",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)
def test(context: typer.Context) -> None:
    """Run `check`, then all tests on real services; with arguments, run pytest with them instead.

    `unit`, `integration`, `browser`, `faults`, `alerts` and `compose` stand for
    the folders in tests/. `alerts` builds Prometheus and fires each alert,
    `compose` builds the images and starts docker-compose.yml: these two run only
    when named. Long tests run with `--long`, or when their file is named. A
    skipped test is a failure.

    Example: ./pipeline test faults --rounds 20 --seed 7
    """
    tests = ROOT / "tests"
    arguments = [tests / word if (tests / word).is_dir() else word for word in context.args]
    if not set(arguments) - {"--long"}:
        cache = Cache(root=StackSettings().cache_dir)
        # Meanwhile: it waits for the network, and tests would wait for it. A check that fails
        # cancels it.
        with installing(cache, silent(), _SERVERS):
            check()
        arguments += [*_SIDE_BY_SIDE, *(tests / folder for folder in _ON_REAL_SERVICES)]
    raise typer.Exit(_pytest(*arguments))


@app.command(rich_help_panel="Develop")
def bench(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(BENCHMARKS)}.")],
    lines: Annotated[
        int | None,
        typer.Option(min=1_000, help="For `charts`, `load` and `dbt`: past order lines."),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="A few minutes, for ratios that point the same way.")
    ] = False,
    peer: Annotated[
        list[str] | None, typer.Option(help="For `peers`: only this; repeat it for more.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Run a benchmark on services of its own, against a reference measured in the same run.

    Example: ./pipeline bench landing --format json
    """
    if name not in BENCHMARKS:
        refuse_unknown("benchmark", [name], BENCHMARKS)
    if not (ROOT / "benchmarks").exists():
        problem = "Images contain no benchmarks"
        raise StopPipelineError(problem, f"In a checkout: ./pipeline bench {name}.")
    benchmark = importlib.import_module(f"benchmarks.{name}")
    options = {option: value for option, value in (("lines", lines), ("peer", peer)) if value}
    if foreign := sorted(options.keys() - signature(benchmark.run).parameters):
        message = f"bench {name} takes no --{', --'.join(foreign)}: its size is fixed."
        raise StopPipelineError(message)
    result = benchmark.run(**{**(benchmark.SMALL if small else {}), **options})
    if output is Format.JSON:
        print_json(result)
        return
    _print_result(result)


def _print_result(result: dict[str, Any]) -> None:
    metrics = {key: value for key, value in result.items() if not isinstance(value, list)}
    if metrics:
        print_rows([{"metric": key, "value": value} for key, value in metrics.items()])
    for key, rows in result.items():
        if isinstance(rows, list):
            print_rows(rows, title=key)


@app.command(rich_help_panel="Develop")
def docs() -> None:
    """Generate documents; docs/DATA_MODEL.md needs the running warehouse.

    The others are docs/SETTINGS.md and the columns in docs/MAPPING.md.

    Example: ./pipeline docs
    """
    from batch.data_model import data_model, read_catalogue
    from lakehouse.connections import warehouse
    from lakehouse.contracts import DECLARED
    from lakehouse.contracts.described import HEADING, columns_document

    _write_document("SETTINGS.md", settings_document())
    written = (ROOT / "docs" / "MAPPING.md").read_text(encoding="utf-8").partition(HEADING)[0]
    _write_document("MAPPING.md", written + columns_document(DECLARED))
    _write_document("DATA_MODEL.md", data_model(read_catalogue(warehouse("batch"))))


def _write_document(name: str, text: str) -> None:
    path = ROOT / "docs" / name
    path.write_text(text, encoding="utf-8")
    console.print(f"{path.relative_to(ROOT)} is up to date")


@app.command(rich_help_panel="Develop")
def lock(
    *,
    upgrade: Annotated[bool, typer.Option(help="Upgrade to the newest allowed versions.")] = False,
) -> None:
    """Update the hash-locked requirement files in locks/ from pyproject.toml.

    Example: ./pipeline lock --upgrade
    """
    uv = default_uv()
    if uv is None:
        message = "No uv found to lock with: run ./pipeline lock, which installs uv."
        raise StopPipelineError(message)
    for name, group in LOCKS.items():
        source = ("pyproject.toml",) if name in _WITH_PROJECT else ()
        # Shared dependencies have the same version in both environments.
        like = ("--constraint", "locks/project.txt") if name in {"airflow", "spark"} else ()
        command = [
            str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
            "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url",
            "--no-emit-find-links", *(["--upgrade"] if upgrade else []),
            "--group", f"pyproject.toml:{group}", "--output-file", f"locks/{name}.txt",
            *like, *source,
        ]  # fmt: skip
        console.print(f"locks/{name}.txt")
        subprocess.run(command, cwd=ROOT, check=True)


def _failed_checks() -> list[str]:
    """Run all of CHECKS, two at a time; print the output of failed ones, return their names."""
    failed = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = [(name, pool.submit(_run_check, command)) for name, command in CHECKS]
        for name, run in runs:
            result, seconds = run.result()
            told = "[bold red]failed[/]" if result.returncode else "[green]passed[/]"
            console.print(f"{name:<12} {told} in {seconds:.1f} s")
            if result.returncode:
                console.print(result.stdout.strip(), markup=False)
                failed.append(name)
    return failed


def _run_check(command: tuple[str, ...]) -> tuple[subprocess.CompletedProcess[str], float]:
    started = monotonic()
    program = Path(sys.executable).parent / command[0]
    result = subprocess.run(
        [program, *command[1:]], cwd=ROOT, check=False, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return result, monotonic() - started


def _unit_tests_pass() -> bool:
    console.rule("unit tests", align="left", style="dim")
    units = ("tests/unit", "-q", *_SIDE_BY_SIDE)
    if find_spec("slipcover") is None:
        console.print("Their branch coverage is not measured: this Python has no SlipCover.")
        return not _pytest(*units)
    covered = ROOT / "var" / "covered.json"
    covered.parent.mkdir(exist_ok=True)
    covered.unlink(missing_ok=True)
    is_passed = not _pytest(*units, "-p", "tests.unit.branches", f"--branches={covered}")
    if not covered.exists():
        return False
    with (ROOT / "pyproject.toml").open("rb") as file:
        least = tomllib.load(file)["tool"]["slipcover"]["fail-under"]
    percent = round(json.loads(covered.read_bytes())["summary"]["percent_covered"], 1)
    if sys.version_info[:2] != _COUNTED_BY:
        console.print(f"branch coverage of the unit tests: {percent} % by this Python's lines")
        return is_passed
    console.print(f"branch coverage of the unit tests: {percent} % (minimum {least} %)")
    if percent > least + _SLACK:
        console.print("Raise the minimum, tool.slipcover.fail-under in pyproject.toml.")
    return is_passed and least <= percent <= least + _SLACK


def _pytest(*arguments: str | Path) -> int:
    # Tests start hundreds of commands; without bytecode files each would compile all modules.
    env = process_environment()
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    if has_room_in_memory():
        env.setdefault("TMPDIR", str(IN_MEMORY))
    pytest = Path(sys.executable).parent / "pytest"
    return subprocess.run([pytest, *arguments], cwd=ROOT, env=env, check=False).returncode


def _settings_rows() -> list[dict[str, Any]]:
    given = {name.upper() for name, value in settings_in_environment().items() if value}
    return [
        {
            "variable": variable.name,
            "value": str(getattr(now, variable.field)),
            "default": variable.default,
            "unit": variable.unit,
            "allowed": variable.allowed,
            "set": variable.name in given,
            "meaning": variable.description,
            "change": variable.change,
        }
        for now in (group() for group in ALL_SETTINGS)
        for variable in variables_of(type(now))
    ]
