"""Ports of stacks that are started at the same time, each by a process of its own."""

import socket

from lakehouse.environment import environment_of
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
