"""Words of our own that gave way to the field's: none of them comes back."""

import re
import subprocess
from functools import cache
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from lakehouse.settings import ROOT
from stack.program import with_needs

RETIRED = {
    r"upkeep|keep(s|ing)? house|the night\b": "maintenance",
    r"\bthe hour\b(?! (of|in|before|after))": "hourly run",
    r"(re)?judg(e|es|ed|ing|ements?)\b": "validate; check",
    r"\b(puts?|putting|sets?) (it |them )?aside\b": "quarantine",
    r"\bmend(s|ed|ing)?\b": "clean a value, repair a table, resolve a loss",
    r"\banew\b": "recompute, rebuild, again",
    r"\bbrought on\b": "updated",
    r"\bcut off\b": "interrupted",
    r"\b(go|goes|went|going) on\b": "resume, continue",
    r"\b(take|takes|taken|took|taking) in\b": "apply",
    r"\bbeats?\b": "heartbeat",
    r"\bwatcher": "exporter",
    r"(?<!zoo)keeper\b": "auto-restart",
    r"\b(un)?touched\b": "affected",
    r"\bdealt\b": "sharded, spilled",
    r"\brecipes?\b": "builder",
    r"\b(agenda|brak(e|es|ing))\b": "event queue, throttle",
    r"\bis_past\b|(?-i:\bINSTANT\b)": "not_in_future, TIMESTAMP",
    r"\bisolated_?stack\b": "test stack",
    r"\bstar\b(?![ -]schema)": "warehouse",
}
# Former names that still work, names of tables before a migration, and versions that are out.
KEPT = {
    "lakehouse/settings/retired.py": {"watcher"},
    "stack/program.py": {"keeper", "watcher"},
    "connectors/signals.sql": {"beat"},
    "consumers/live/consumer.py": {"beat"},
    "tests/unit/test_settings.py": {"watcher"},
}
ELSEWHERE = ("findings/", "locks/", "warehouse_sql/migrations/", "CHANGELOG.md", "LICENSE")
TEXT = (".py", ".sql", ".md", ".yaml", ".yml", ".json", ".toml", ".html", ".sh", ".csv")


@cache
def contents():
    """The text of each file, by its name."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    own = {"tests/unit/test_words.py"}
    return {
        name: (ROOT / name).read_text()
        for name in listed
        if name.endswith(TEXT)
        and not name.startswith(ELSEWHERE)
        and name not in own
        and (ROOT / name).exists()
    }


@pytest.mark.parametrize(("pattern", "instead"), RETIRED.items())
def test_retired_word_is_found_nowhere(pattern, instead):
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for name, text in contents().items()
        for match in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE)
        if match[0].lower() not in KEPT.get(name, ())
    ]
    assert found == [], f"use: {instead}"


@pytest.mark.parametrize("former", [["watch"], ["connect", "keep"]])
def test_former_name_of_a_command_still_works(former):
    found = CliRunner().invoke(app, [*former, "--help"])
    assert (found.exit_code, "until stopped" in found.output.lower()) == (0, True)


def test_former_names_of_services_still_work():
    services = {name: SimpleNamespace(needs=()) for name in ("auto-restart", "exporter")}
    assert with_needs(["keeper", "watcher"], services) == ["auto-restart", "exporter"]
