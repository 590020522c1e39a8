"""Background maintenance of bronze: what is due after a commit, and how often at most."""

import threading

import pytest

from consumers.bronze.maintenance import Maintenance
from lakehouse.maintenance import CHECKPOINT_COMMITS, Done

NAME = "raw_sales"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def after(clock, versions, *, every_commits=1_000, checkpoint_seconds=0.0):
    """The work done after commits of these versions, one each second."""
    done, idle = [], threading.Event()

    def work(_table):
        done.append("maintained")
        idle.set()
        return Done()

    def checkpoint(_table):
        done.append("checkpoint")
        clock.now += checkpoint_seconds
        idle.set()

    maintenance = Maintenance(work, checkpoint, every_commits=every_commits, clock=clock)
    for version in versions:
        before = len(done)
        idle.clear()
        maintenance.committed(NAME, version)
        is_due = not version % CHECKPOINT_COMMITS
        if is_due and idle.wait(0.2) and len(done) > before:
            done[-1] = (done[-1], version)
        clock.now += 1
    maintenance.close()
    return done


def test_checkpoint_follows_every_so_many_versions_whoever_committed_the_others(clock):
    step = CHECKPOINT_COMMITS
    own = range(3, 3 * step + 1, 3)
    expected = [("checkpoint", version) for version in own if not version % step]
    assert expected
    assert after(clock, own) == expected


def test_slow_checkpoints_take_one_part_in_fifty_at_most(clock):
    step = CHECKPOINT_COMMITS
    done = after(clock, range(1, 20 * step + 1), checkpoint_seconds=2)
    versions = [version for _, version in done]
    assert versions[0] == step
    # A hundred seconds after the first.
    assert versions[1] == step + -(-100 // step) * step


def test_maintenance_that_is_due_makes_a_checkpoint_needless(clock):
    step = CHECKPOINT_COMMITS
    done = after(clock, range(1, step + 1), every_commits=step)
    assert done == [("maintained", step)]
