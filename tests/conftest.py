"""What all tests share: the stack they run on, their options, and that a skip is a failure."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.stacks import REUSE, end_kept_servers, end_servers


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--rounds", type=int, default=1, help="Rounds of faults and examples.")
    group.addoption("--seed", type=int, default=None, help="Seed of the faults' random moments.")

    group.addoption("--long", action="store_true", help="Run tests that are marked `long`, too.")

    group = parser.getgroup("servers")
    group.addoption("--reuse", action="store_true", help="Keep servers for the next run.")
    group.addoption("--end-reuse", action="store_true", help="Stop the kept servers, and exit.")


def pytest_configure(config: pytest.Config) -> None:
    REUSE.is_on = config.getoption("reuse")
    if config.getoption("end_reuse"):
        end_kept_servers()
        pytest.exit("The kept servers are stopped.", pytest.ExitCode.OK)
    # Whoever ends the tests with TERM ends their stack, too: fixtures clean up on an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # How long an example takes says how busy the machine is. Tests whose examples take long draw a
    # share of these.
    examples = 100 * config.getoption("rounds")
    settings.register_profile("ours", deadline=None, max_examples=examples)
    settings.load_profile("ours")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the servers that files shared. A test that was skipped has proved nothing."""
    end_servers()
    if _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


_skipped: list[str] = []


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What builds images or Prometheus takes longer than all others: it runs when it is named."""
    if collection_path not in [_HERE / name for name in _WHEN_NAMED]:
        return None
    named = (Path(argument.split("::")[0]).resolve() for argument in config.args)
    return None if any(path.is_relative_to(collection_path) for path in named) else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Folder by folder, at random within each: the stacks of one end before the next begins.

    The longest are first, lest one process works on its last one when the others are done. Tests
    that are marked `long` run with `--long`, and whenever something else than a folder is named.
    """
    option = config.option
    is_chosen = option.keyword or option.markexpr or not all(map(os.path.isdir, config.args))
    if not (option.long or is_chosen):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=lambda item: _place(item.nodeid.split("::", 1)[0]))


def _place(file: str) -> tuple[int, int, str]:
    path = Path(file).relative_to("tests")
    folder = _FOLDERS.index(path.parts[0])
    places = (n for n, start in enumerate(_LONGEST_FIRST) if file.startswith(start))
    return next(places, len(_LONGEST_FIRST)), folder, path.parent.as_posix()


class ByStack(LoadScopeScheduling):
    """What shares a stack goes to the same process: a file's tests, or those of a folder."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        folder = Path(file).parent.as_posix()
        if folder in _WITH_ONE_STACK:
            return folder
        return "with web UIs" if file.startswith(_WITH_WEB_UIS) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByStack:
    """The order of collection is kept: files of many small tests come last, and fill up."""
    config.option.loadscopereorder = False
    return ByStack(config, log)


_HERE = Path(__file__).parent
_WITH_WEB_UIS = (
    "tests/browser",
    "tests/integration/test_airflow.py",
    "tests/integration/test_document_commands.py",
)
"""Starting Airflow or Superset takes longer than most tests: these share one of each."""
_WITH_ONE_STACK = (
    "tests/compose",
    "tests/integration/on_one_stack",
    "tests/integration/on_one_warehouse",
)
_LONGEST_FIRST = (
    _WITH_WEB_UIS,
    "tests/integration/on_one_stack",
    "tests/integration/on_one_warehouse",
    "tests/faults",
    "tests/integration/test_consolidation",
    "tests/integration/test_replay",
    "tests/integration/test_spark",
    "tests/integration/test_live",
    "tests/integration/test_doctor",
    "tests/integration/test_second_store",
    "tests/integration/test_extraction",
    "tests/integration/test_simulator",
    "tests/integration/test_tls",
    ("tests/unit/test_silver_tables", "tests/unit/test_silver_replay"),
    ("tests/unit/test_one_by_one", "tests/unit/test_reconcile_losses", "tests/unit/test_gold_run"),
)
"""Those of a minute and more, and of unit tests the slowest: less fills up at the end."""
_WHEN_NAMED = ("compose", "alerts")
_FOLDERS = ("compose", "alerts", "integration", "browser", "faults", "unit")
