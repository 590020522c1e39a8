"""Ports of stacks that are started at the same time, each by a process of its own."""

import socket

import pytest

from devtools.test_stack import free_block
from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from tests.stacks import free_ports

FIRST_OF_CLIENTS = 32_768


def ports_of(worker, count=400):
    with environment_of({"PYTEST_XDIST_WORKER": worker} if worker else {}):
        return set(free_ports(count))


def test_processes_that_draw_at_the_same_time_never_draw_the_same():
    drawn = [ports_of(worker) for worker in ("", "gw0", "gw1", "gw2")]
    assert [len(ports) for ports in drawn] == [400] * 4
    assert len(set.union(*drawn)) == 1600


def test_no_client_is_given_a_port_that_was_drawn():
    assert max(ports_of("gw0")) < FIRST_OF_CLIENTS


def test_port_that_somebody_has_is_not_drawn(monkeypatch):
    monkeypatch.setattr("devtools.test_stack._BLOCK", 4)
    [taken] = ports_of("gw0", 1)
    with socket.create_server(("127.0.0.1", taken)):
        found = ports_of("gw0", 4)
    assert found
    assert taken not in found


def test_ports_in_a_row_are_all_free_and_stay_in_the_block_of_the_process(monkeypatch):
    monkeypatch.setattr("devtools.test_stack._BLOCK", 12)
    with environment_of({"PYTEST_XDIST_WORKER": "gw7"}):
        taken = free_block(12)[0]
        with socket.create_server(("127.0.0.1", taken)):
            assert set(free_block(5)) < set(range(taken + 1, taken + 12))
            with pytest.raises(StopPipelineError, match="12 ports in a row"):
                free_block(12)
