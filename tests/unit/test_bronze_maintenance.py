"""Background maintenance of bronze: what is due after a commit, and how often at most."""

import pytest

from consumers.bronze.maintenance import CHECKPOINT_COMMITS, Maintenance
from lakehouse.maintenance import Done

NAME = "raw_sales"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def after(clock, versions, *, every_commits=1_000, checkpoint_seconds=0.0):
    """The work done after commits of these versions, one each second; it takes no other time."""
    done = []

    def work(_table):
        done.append(("maintained", version))
        return Done()

    def checkpoint(_table):
        done.append(("checkpoint", version))
        clock.now += checkpoint_seconds

    maintenance = Maintenance(work, checkpoint, every_commits=every_commits, clock=clock)
    # The test does the work itself: when a thread would is left to the scheduler.
    maintenance.close()
    maintenance._thread.join()
    for version in versions:
        maintenance.committed(NAME, version)
        while maintenance._due:
            table, what = maintenance._due.pop(0)
            what(table)
        clock.now += 1
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
