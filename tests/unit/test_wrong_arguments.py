"""What makes no sense is refused with the choices, before a lock is taken or a run recorded."""

import sys

import pytest
import structlog

import batch.lock
import batch.runs
from batch.quarantine import Selection
from cli import __main__ as cli
from lakehouse.choices import meant
from lakehouse.contracts import ENTITIES
from lakehouse.environment import environment_of
from lakehouse.errors import WrongArgumentError
from lakehouse.selection import Selection as Range
from lakehouse.settings import ROOT

CASES = [
    ("consolidate --entity order", "Did you mean orders? Known: "),
    ("consolidate --entity Customers", "Did you mean customers?"),
    ("consolidate --layer sliver", "Did you mean silver? Layers: silver, gold, warehouse"),
    ("consolidate --layer gold --entity orders", "--entity selects tables of silver"),
    ("rebuild --layer golden", "Did you mean gold?"),
    ("rebuild --layer silver --entity paymnts", "Did you mean payments?"),
    ("quarantine redrive --entity order", "Did you mean orders?"),
    ("quarantine redrive --rule email_invalids", "Did you mean email_invalid?"),
    ("quarantine list --entity order", "Did you mean orders?"),
    ("quarantine show --rule nothing_like_it", "There is no rule 'nothing_like_it'. Rules: "),
    ("replay --into silver --entity order", "Did you mean orders?"),
    ("replay --into silvr --entity orders", "silver"),
    ("replay --into silver --entity orders --from-offset 0-5", "is not PARTITION:OFFSET"),
    ("replay --into silver --entity orders --from-offset 0:5 --from-offset 0:6", "twice"),
    ("replay --into silver --entity orders --from-offset 0:9223372036854775808", "exceeds"),
    ("replay --into silver --all --from-offset 0:7 --to-offset 0:3", "ends at 3"),
    ("replay --into silver --all --from-time noon", "is not a time"),
    ("replay --into silver --all --from-time 0001-01-01T00:00+14:00", "is not a time"),
    ("replay --into silver --all --from-time 2026-02-01 --to-time 2026-01-01", "Nothing lies"),
    ("maintain --layer mart", "bronze"),
    ("maintain --retention-hours 0", "--retention-hours"),
    ("maintain --retention-hours 99999999999999999999", "--retention-hours"),
    ("demo --source nowhere", "nowhere has no mapping.yaml, schema.sql, simulate.py"),
    ("logs kafk", "There is no service 'kafk'. Did you mean kafka? Services: oltp, "),
    ("up kafk", "Did you mean kafka?"),
    ("open superst", "Did you mean superset? Pages: superset, "),
    ("sql show mart.fact_transaction", "Did you mean mart.fact_transactions?"),
    ("runs --kind replays", "Did you mean replay? Kinds: consolidation, "),
    ("bench landng", "Did you mean landing? Benchmarks: "),
    ("statsu", "Did you mean 'status'? See ./pipeline --help"),
    ("quarantine lst", "Did you mean 'list'? See ./pipeline quarantine --help"),
    ("status --formal json", "Did you mean --format? See ./pipeline status --help"),
    ("status --format jsn", "--format 'jsn' is not allowed. Did you mean json? Allowed: table, "),
    ("status --format it's", "is not allowed. Allowed: table, json."),
    ("recommend train --seed -1", "--seed '-1': input should be greater than or equal to 0"),
    ("demo --minutes x", "--minutes 'x': input should be a valid number"),
    ("runs --limit 0", "--limit '0': input should be greater than or equal to 1"),
    ("replay --all", "Missing option '--into'. Choose from: bronze, silver"),
    ("tables --layer sliver", "Did you mean silver?"),
    ("replay --into silver --all --from-time 2026-10-25T02:30", "clocks in Europe/Paris show it"),
    ("replay --into silver --all --from-time 2026-03-29T02:30", "clocks in Europe/Paris skip it"),
    ("recommend train --until yesterday", "--until 'yesterday' is not a time"),
    ("recommend", "needs --customer ID or --product ID"),
    ("recommend --customer 1 --product 2", "one of them"),
    ("extract orders --since 2026-13-01", "not a date"),
    ("extract orders --since 2026-11-02 --until 2026-11-01", "lies before"),
    ("extract orders --since 9999-01-01", "lies in the future"),
    ("extract orders --since 2020-01-01 --until 9999-12-31", "out of range"),
    ("extract orders --until 2026-11-01", "--since"),
]


@pytest.fixture(autouse=True)
def own_log():
    """Commands log to what stands for standard error here, which is closed afterwards."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def begun(monkeypatch):
    """What has been begun."""
    found = []

    def refuse(*_, **__):
        found.append("begun")
        message = "something was begun"
        raise AssertionError(message)

    monkeypatch.setattr(batch.runs, "recorded", refuse)
    monkeypatch.setattr("replay.run.recorded", refuse)
    monkeypatch.setattr(batch.lock, "only_one", refuse)
    return found


@pytest.mark.parametrize(("line", "words"), CASES, ids=[line for line, _ in CASES])
def test_argument_without_sense_is_refused_before_anything_is_begun(
    line, words, begun, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["./pipeline", *line.split()])
    with pytest.raises(SystemExit) as ended:
        cli.run()
    told = capsys.readouterr()
    assert ended.value.code == 2, told
    assert words in " ".join(told.err.split())
    assert told.err.lstrip().startswith("Error "), told.err
    assert told.out == ""
    assert not begun


def test_another_shop_is_refused_where_containers_would_not_see_it(monkeypatch, capsys):
    given = f"./pipeline demo --source {ROOT}/examples/other_shop".split()
    monkeypatch.setattr(sys, "argv", given)
    with environment_of({"STACK_ENGINE": "compose"}), pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == 2
    assert "containers see no folder but" in " ".join(capsys.readouterr().err.split())


def test_mistake_of_ours_has_an_exit_status_of_its_own(monkeypatch, capsys):
    def wrong(*_, **__):
        raise ValueError

    monkeypatch.setattr("cli.consolidate.consolidated", wrong)
    monkeypatch.setattr(sys, "argv", ["./pipeline", "consolidate"])
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*ENTITIES, *(e.silver for e in ENTITIES.values())])
def test_every_name_that_there_is_makes_sense(name):
    Selection(entities=(name,)).checked(ENTITIES)


def test_rule_is_looked_for_in_the_tables_that_are_meant():
    # The last was a rule before such a country counted as unknown; quarantine may have it.
    rules = ("email_invalid", "not_a_row_change", "committed_at_unreadable", "country_unknown")
    for rule in rules:
        Selection(rule=rule).checked(ENTITIES)
    Selection(entities=("customers",), rule="email_invalid").checked(ENTITIES)
    with pytest.raises(WrongArgumentError, match="There is no rule 'email_invalid'"):
        Selection(entities=("orders",), rule="email_invalid").checked(ENTITIES)


def test_nearest_name_is_asked_for_and_none_where_nothing_is_near():
    assert meant(["order", "paymnts"], ENTITIES) == "Did you mean orders and payments? "
    assert meant(["xyzzy"], ENTITIES) == ""


def test_greatest_offset_makes_sense():
    assert Range.parsed(from_offset=["0:9223372036854775807"]).first == {0: 2**63 - 1}
