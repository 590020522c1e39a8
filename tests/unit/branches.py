"""For pytest: the lines and branches of the project that its workers run, into a file.

Before Python 3.14, coverage.py traces each line to know of branches: as much work as the tests.
SlipCover puts probes into a module's code when it is imported, and removes those that were passed.
Its own plugin also replaces functions inside pytest, to measure tests, and refuses pytest 9.
"""

import json
import os
import tomllib
from pathlib import Path

import pytest
import slipcover

ROOT = Path(__file__).parents[2]
"""Not from `lakehouse.settings`: what is imported here is not measured."""


class Worker:
    """Measures what is imported after it."""

    def __init__(self) -> None:
        with (ROOT / "pyproject.toml").open("rb") as file:
            names = tomllib.load(file)["tool"]["slipcover"]["source"]
        packages = [str(ROOT / name) for name in names.split(",")]
        self._measured = slipcover.Slipcover(branch=True, source=packages)
        matcher = slipcover.FileMatcher(sources=packages)
        slipcover.ImportManager(self._measured, matcher).__enter__()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        session.config.workeroutput["branches"] = json.dumps(self._measured.get_coverage())


class Controller:
    """Adds up what workers measured."""

    def __init__(self, file: Path) -> None:
        self._file, self._sum = file, None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node, error) -> None:
        if measured := getattr(node, "workeroutput", {}).get("branches"):
            one = json.loads(measured)
            self._sum = slipcover.merge_coverage(self._sum, one) if self._sum else one

    def pytest_unconfigure(self) -> None:
        if self._sum:
            self._file.write_text(json.dumps(self._sum), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--branches", type=Path, help="File for the lines and branches that are run.")


_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
_worker = Worker() if _IS_WORKER else None


def pytest_configure(config: pytest.Config) -> None:
    if _worker:
        config.pluginmanager.register(_worker)
    elif config.option.branches and config.option.tx:
        config.pluginmanager.register(Controller(config.option.branches))
    else:
        message = "Workers measure, and --branches names the file: give it, and -n 1 or more."
        raise pytest.UsageError(message)
