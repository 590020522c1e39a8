"""The cache: a folder of it is whole or absent, made once, whoever interrupts or hurries."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stack.cache
from lakehouse.errors import StopPipelineError
from stack.cache import ensure, locked, remove_tree

# Makes half of a folder, says so, and would continue for ever.
SLOW_MAKER = """
import sys, time
from pathlib import Path
from stack.cache import ensure

def make(work, result):
    (work / "download").write_text("kept")
    (result / "half").write_text("half")
    print("half", flush=True)
    time.sleep(600)

ensure(Path(sys.argv[1]), make)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "kafka-1"


def fill(_work, result):
    (result / "one").write_text("1")
    (result / "two").write_text("2")


def contents(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_a_folder_is_made_once(folder):
    assert ensure(folder, fill)
    assert contents(folder) == {"one": "1", "two": "2"}
    assert not ensure(folder, pytest.fail)


def test_nothing_of_the_making_is_left_but_the_folder_and_its_lock(folder):
    ensure(folder, fill)
    assert {file.name for file in folder.parent.iterdir()} == {"kafka-1", "kafka-1.lock"}


@pytest.mark.parametrize("error", [StopPipelineError("no network"), KeyboardInterrupt()])
def test_a_making_that_fails_leaves_nothing_that_is_taken_for_whole(folder, error):
    def fail(_work, result):
        (result / "one").write_text("half")
        raise error

    with pytest.raises(type(error)):
        ensure(folder, fail)
    assert not folder.exists()
    assert ensure(folder, fill)
    assert contents(folder) == {"one": "1", "two": "2"}


def test_what_was_downloaded_before_a_failure_is_there_for_the_next_making(folder):
    def fail(work, _result):
        (work / "download").write_text("kept")
        raise StopPipelineError

    def go_on(work, result):
        (result / "one").write_text((work / "download").read_text())

    with pytest.raises(StopPipelineError):
        ensure(folder, fail)
    ensure(folder, go_on)
    assert contents(folder) == {"one": "kept"}


def test_a_maker_that_was_killed_leaves_nothing_that_is_taken_for_whole(folder):
    command = [sys.executable, "-c", SLOW_MAKER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout.readline() == "half\n"
        maker.send_signal(signal.SIGKILL)
    assert not folder.exists()

    def go_on(work, result):
        assert (work / "download").read_text() == "kept"
        fill(work, result)

    assert ensure(folder, go_on)
    assert contents(folder) == {"one": "1", "two": "2"}


@given(st.lists(st.sampled_from(["fails", "dies", "done"]), max_size=6))
def test_however_often_it_is_interrupted_only_a_whole_folder_is_ever_there(
    tmp_path_factory, attempts
):
    folder = tmp_path_factory.mktemp("cache") / "kafka-1"
    for attempt in attempts:
        was_there = folder.exists()

        def make(work, result, attempt=attempt):
            (result / "one").write_text("1")
            if attempt != "done":
                raise KeyboardInterrupt if attempt == "dies" else StopPipelineError
            fill(work, result)

        try:
            assert ensure(folder, make) == (not was_there)
        except (KeyboardInterrupt, StopPipelineError):
            assert attempt != "done"
        assert folder.exists() == (was_there or attempt == "done")
        assert not folder.exists() or contents(folder) == {"one": "1", "two": "2"}


def test_two_at_once_make_it_once_and_both_have_it(folder):
    made = []
    first_is_at_it, go_on = Event(), Event()

    def make(work, result):
        made.append(1)
        first_is_at_it.set()
        go_on.wait(10)
        fill(work, result)

    def have():
        return ensure(folder, make), contents(folder)

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(have) for _ in range(3)]
        first_is_at_it.wait(10)
        go_on.set()
        results = [one.result() for one in asked]
    assert made == [1]
    assert sorted(was_made for was_made, _ in results) == [False, False, True]
    assert all(found == {"one": "1", "two": "2"} for _, found in results)


def test_a_cache_that_cannot_be_written_is_named_with_its_setting(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StopPipelineError, match=r"file/kafka-1 cannot be set up.*STACK_CACHE_DIR"):
        ensure(tmp_path / "file" / "kafka-1", fill)


def test_a_full_disk_is_said_with_the_way_out(folder):
    def fail(_work, _result):
        raise OSError(28, "No space left on device")

    with pytest.raises(StopPipelineError, match=r"No space left on device.*Free space"):
        ensure(folder, fail)


def test_a_lock_whose_file_was_deleted_while_it_was_waited_for_is_taken_again(
    tmp_path, monkeypatch
):
    path = tmp_path / "lock"
    flock = stack.cache.fcntl.flock
    taken = []

    def lock(file, how):
        flock(file, how)
        taken.append(file)
        if len(taken) == 1:
            path.unlink()

    monkeypatch.setattr(stack.cache.fcntl, "flock", lock)
    with locked(path):
        # Whoever comes now finds this very file, and waits.
        assert os.path.samestat(os.fstat(taken[-1].fileno()), path.stat())
    assert len(taken) == 2


def test_a_tree_goes_with_what_is_read_only_in_it_and_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "file").write_text("")
    (tree / "link").symlink_to(outside)
    (tree / "inner").chmod(0o500)
    outside.chmod(0o500)
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o500
    remove_tree(tree)
    outside.chmod(0o700)
