"""Processes that share the work of a command: in order, with its errors, and gone with it."""

import operator
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings

from batch.processes import Processes
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import SilverRules, chosen_entities
from batch.silver.sizes import BatchLimits
from lakehouse.environment import environment_of, process_environment
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.settings import ROOT
from tests.unit.bronze_maker import RULES, customers, new_lake
from tests.unit.test_silver_replay import consolidate, damage, replayer
from tests.unit.test_silver_tables import contents, happen, steps

FEW = SilverRules(
    time_zone=RULES.time_zone,
    retention_hours=RULES.retention_hours,
    batch=BatchLimits(records=3),
)


@pytest.fixture(scope="module")
def pair():
    processes = Processes(2)
    yield processes
    processes.close()


def ids(processes):
    return {child._process.pid for child in processes._children}


def raised(error, _item):
    raise error


def until_gone(pids):
    deadline = time.monotonic() + 30
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(psutil.pid_exists, pids))


def test_results_come_in_the_order_of_the_items_from_other_processes(pair):
    assert list(pair.map(partial(operator.mul, 3), range(40))) == [3 * n for n in range(40)]
    # The slowest is the first.
    assert list(pair.map(time.sleep, [0.2, 0, 0])) == [None] * 3
    assert set(pair.map(os.getpgid, [0] * 20)) == {os.getpgid(0)}
    assert len(ids(pair)) == 2
    assert os.getpid() not in ids(pair)


def test_a_single_item_or_process_needs_no_other():
    processes = Processes(2)
    here = lambda item: (os.getpid(), item)  # noqa: E731 - what cannot be pickled
    assert list(processes.map(here, [1])) == [(os.getpid(), 1)]
    assert list(processes.map(here, [])) == []
    assert list(Processes(1).map(here, [1, 2])) == [(os.getpid(), 1), (os.getpid(), 2)]
    assert not ids(processes)


def test_an_error_is_raised_as_it_is_with_its_place_and_ends_the_rest():
    processes = Processes(2)
    wrong = StopPipelineError("orders lacks status", "Was it removed?")
    with pytest.raises(StopPipelineError) as error:
        list(processes.map(partial(raised, wrong), range(9)))
    assert error.value.told == wrong.told
    assert "in raised" in str(error.value.__cause__)
    assert not ids(processes)
    # They start again.
    assert list(processes.map(abs, [-1, -2])) == [1, 2]
    processes.close()


def test_a_process_that_is_killed_is_told_with_what_to_do():
    processes = Processes(2)
    dying = "import os; print('no memory', file=__import__('sys').stderr); os.kill(os.getpid(), 9)"
    with pytest.raises(RetryLaterError, match=r"ended with status -9.*BATCH_PROCESSES") as error:
        list(processes.map(exec, [dying, "pass"]))
    assert "no memory" in str(error.value)
    assert not ids(processes)


def test_processes_end_with_what_has_started_them_however_it_ends():
    def started(end):
        program = f"""
            import os, time
            from batch.processes import Processes
            processes = Processes(2)
            found = processes.map(time.sleep, [0, 0, 600, 600])
            next(found), next(found)
            print(*(child._process.pid for child in processes._children), flush=True)
            {end}
        """
        asking = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        return asking, [int(one) for one in asking.stdout.readline().split()]

    for end, sent in (
        ("next(found)", signal.SIGKILL),
        ("next(found)", signal.SIGINT),
        ("os._exit(0)", None),
        ("found.close()", None),
    ):
        asking, children = started(end)
        assert len(children) == 2
        if sent is not None:
            # Of a terminal, it goes to all of them.
            (os.killpg if sent is signal.SIGINT else os.kill)(asking.pid, sent)
        asking.communicate(timeout=60)
        assert until_gone(children), end


def test_a_forgotten_object_leaves_none():
    processes = Processes(2)
    list(processes.map(abs, [1, 2]))
    pids = ids(processes)
    del processes
    assert until_gone(pids)


@settings(max_examples=max(2, settings.default.max_examples // 25), deadline=None)
@given(script=steps)
def test_a_rebuild_and_a_replay_by_several_processes_equal_those_by_one(pair, script):
    with tempfile.TemporaryDirectory() as folder:
        lakes = [new_lake(Path(folder) / name) for name in ("one", "two")]
        found = []
        for lake, processes in zip(lakes, (Processes(1), pair), strict=True):
            happen(customers(lake), script).land()
            (report,) = rebuild_silver(
                lake, FEW, chosen_entities(["customers"]), processes=processes
            )
            was = contents(lake)
            damage(lake, "other")
            replay = replayer(lake, Path(folder) / lake.bronze[-20:].replace("/", "-"))
            replay.rules, replay.processes = FEW, processes
            done = replay.run()
            assert contents(lake) == was
            found.append((replace(report, seconds=0), done.read, done.broken))
        assert found[0] == found[1]
        assert contents(lakes[0]) == contents(lakes[1])


def test_a_replay_by_several_processes_continues_where_one_was_killed(pair, tmp_path):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(n % 5 + 1, "name", n) for n in range(20)]).land()
    consolidate(lake)
    was = contents(lake)
    damage(lake, "other")
    seen = []

    def killed(what, done, _total):
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    first = replayer(lake, tmp_path, processes=Processes(2), on_progress=killed)
    first.rules = FEW
    with pytest.raises(KeyboardInterrupt):
        first.run()
    again = []
    second = replayer(
        lake, tmp_path, processes=pair, on_progress=lambda _what, done, _total: again.append(done)
    )
    second.rules = FEW
    done = second.run()
    assert again[0] == seen[-1] > 0
    assert (done.went_on, done.read) == (True, 20)
    assert contents(lake) == was


def test_the_setting_has_limits():
    with environment_of({**process_environment(), "BATCH_PROCESSES": "3"}):
        assert Processes.of_settings().count == 3
    with (
        environment_of({**process_environment(), "BATCH_PROCESSES": "0"}),
        pytest.raises(StopPipelineError, match=r"BATCH_PROCESSES"),
    ):
        Processes.of_settings()
