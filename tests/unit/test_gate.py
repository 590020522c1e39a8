"""What stands between a change and the main branch: checks, hooks, CI. They run the same tools."""

import json
import re
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import stack.install
from cli import develop
from cli.__main__ import app
from lakehouse import __version__
from lakehouse.environment import environment_of
from lakehouse.settings import ROOT
from stack.install import Installation


def test_hooks_run_the_tools_of_the_checks_as_they_are_locked():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = {tuple(shlex.split(hook["entry"])[:2]) for one in hooks for hook in one["hooks"]}
    checks = {command[:2] for _, command in develop.CHECKS}
    by_name = {f".venv/bin/{name}" for name, *_ in checks}
    assert {program for program, *_ in entries} == by_name
    assert {words[1] for words in entries if words[0].endswith("ruff")} == {"format", "check"}


def test_ci_calls_the_command_of_the_readme():
    (workflow,) = (ROOT / ".github" / "workflows").glob("*.yml")
    steps = yaml.safe_load(workflow.read_text())["jobs"]["test"]["steps"]
    by_night = "github.event_name == 'schedule'"
    assert {step["run"]: step["if"] for step in steps if "run" in step} == {
        ".ci/run": by_night.replace("==", "!="),
        "./pipeline test --long": by_night,
    }
    last = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert last == "exec ./pipeline test"
    assert "./pipeline test " in (ROOT / "README.md").read_text()
    # A tag can be moved to other code, a commit cannot.
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in steps if "uses" in step)


class Tools:
    """In place of all programs: those in `failing` fail."""

    def __init__(self, failing=(), percent=70.4):
        self.failing, self.percent, self.calls = failing, percent, []
        self.installed = []

    def installing(self, _cache, _steps, parts):
        self.installed.append(parts)
        return nullcontext(Installation())

    def run(self, command, **_):
        name = command[0].name
        self.calls.append([name, *map(str, command[1:])])
        for word in map(str, command):
            if word.startswith("--branches=") and self.percent is not None:
                summary = {"summary": {"percent_covered": self.percent}}
                Path(word.partition("=")[2]).write_text(json.dumps(summary))
        return subprocess.CompletedProcess(command, int(name in self.failing), f"{name} says no")


def run(monkeypatch, tmp_path, tools, *words, slipcover=True, counts_lines_alike=True):
    """A command, by a Python that has SlipCover, and by whose lines the minimum is."""
    monkeypatch.setattr(develop, "find_spec", lambda _: slipcover or None)
    python = sys.version_info[:2] if counts_lines_alike else (2, 7)
    monkeypatch.setattr(develop, "_COUNTED_BY", python)
    (tmp_path / "pyproject.toml").write_text("[tool.slipcover]\nfail-under = 70.0\n")
    monkeypatch.setattr(develop, "ROOT", tmp_path)
    monkeypatch.setattr(develop, "installing", tools.installing)
    monkeypatch.setattr(develop.subprocess, "run", tools.run)
    return CliRunner().invoke(app, words)


def runs_of_pytest(tools):
    return [call for call in tools.calls if call[0] == "pytest"]


@pytest.mark.parametrize("tool", sorted({command[0] for _, command in develop.CHECKS}))
def test_tests_do_not_begin_while_a_check_fails(monkeypatch, tmp_path, tool):
    tools = Tools({tool})
    result = run(monkeypatch, tmp_path, tools, "test")
    assert result.exit_code == 1
    assert f"{tool} says no" in result.output
    assert [call[1] for call in runs_of_pytest(tools)] == ["tests/unit"]


def test_an_installation_ends_with_a_check_that_failed(monkeypatch, tmp_path):
    was_cancelled = []

    def download(tools, *_):
        was_cancelled.append(tools._cancelled.wait(10))

    tools = Tools({"typos"})
    tools.installing = develop.installing
    monkeypatch.setattr(stack.install, "_step", download)
    monkeypatch.setattr(stack.install, "require_space", lambda *_, **__: None)
    with environment_of({"STACK_CACHE_DIR": str(tmp_path)}):
        result = run(monkeypatch, tmp_path, tools, "test")
    assert (result.exit_code, was_cancelled) == (1, [True] * len(develop._SERVERS))


@pytest.mark.parametrize("words", [(), ("--long",)])
def test_all_checks_run_and_then_all_tests(monkeypatch, tmp_path, words):
    tools = Tools()
    assert run(monkeypatch, tmp_path, tools, "test", *words).exit_code == 0
    assert {call[0] for call in tools.calls} >= {command[0] for _, command in develop.CHECKS}
    (parts,) = tools.installed
    assert {"minio", "kafka", "airflow", "superset"} < {*parts}
    units, others = runs_of_pytest(tools)
    assert f"--branches={tmp_path}/var/covered.json" in units
    folders = {f"{tmp_path}/tests/{name}" for name in ("integration", "browser", "faults")}
    assert {*others} >= folders | {*words}


def test_a_named_test_runs_alone(monkeypatch, tmp_path):
    tools = Tools()
    assert run(monkeypatch, tmp_path, tools, "test", "-k", "replay").exit_code == 0
    assert tools.calls == [["pytest", "-k", "replay"]]
    assert tools.installed == []


@pytest.mark.parametrize(
    ("percent", "passes"), [(69.94, False), (70.0, True), (71.04, True), (71.06, False)]
)
def test_coverage_of_unit_tests_may_only_rise(monkeypatch, tmp_path, percent, passes):
    result = run(monkeypatch, tmp_path, Tools(percent=percent), "check")
    assert (result.exit_code == 0) is passes
    assert f"{percent:.1f} % (minimum 70.0 %)" in result.output
    assert ("Raise the minimum" in result.output) is (percent > 71.05)


def test_minimum_is_of_one_python(monkeypatch, tmp_path):
    tools = Tools(percent=1.0)
    result = run(monkeypatch, tmp_path, tools, "check", counts_lines_alike=False)
    assert (result.exit_code, "1.0 % by this Python" in result.output) == (0, True)


def test_tests_that_tell_no_coverage_have_failed(monkeypatch, tmp_path):
    assert run(monkeypatch, tmp_path, Tools(), "check").exit_code == 0
    result = run(monkeypatch, tmp_path, Tools(percent=None), "check")
    assert (result.exit_code, "failed: unit tests" in result.output) == (1, True)


def test_unit_tests_run_without_slipcover(monkeypatch, tmp_path):
    tools = Tools()
    result = run(monkeypatch, tmp_path, tools, "check", slipcover=False)
    assert (result.exit_code, "is not measured" in result.output) == (0, True)
    assert runs_of_pytest(tools) == [["pytest", "tests/unit", "-q", "-n", "2"]]


def test_fast_checks_run_no_test(monkeypatch, tmp_path):
    tools = Tools()
    assert run(monkeypatch, tmp_path, tools, "check", "--fast").exit_code == 0
    assert len(tools.calls) == len(develop.CHECKS)


def test_version_says_release_code_and_python():
    result = CliRunner().invoke(app, ["--version"])
    assert result.output.startswith(f"shop-pipeline {__version__}, code ")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{__version__}]" in changelog
