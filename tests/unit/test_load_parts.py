"""What a load tells while it runs: the next part, and of a load of everything the time left."""

import math

from batch.warehouse import parts
from batch.warehouse.parts import SHARES, Parts


def told_of(monkeypatch, *, of_everything):
    """What is told if each part takes a hundred minutes times its share of the load."""
    now, told = [0.0], []
    monkeypatch.setattr(parts, "monotonic", lambda: now[0])
    load = Parts(on_progress=told.append)
    for name, share in SHARES.items():
        with load.part(name, of_everything=of_everything):
            now[0] += 6000 * share
    assert [name for name, _ in load.done] == [*SHARES]
    return told


def test_time_left_follows_from_the_parts_that_are_done(monkeypatch):
    told = told_of(monkeypatch, of_everything=True)
    assert told[:2] == ["entities read from silver", "entities, about 87 min left"]
    assert told[-1] == "checks, about 10 min left"


def test_load_of_changes_tells_no_time_left(monkeypatch):
    assert told_of(monkeypatch, of_everything=False) == [*SHARES]


def test_shares_add_up_to_the_whole():
    assert math.isclose(sum(SHARES.values()), 1)
