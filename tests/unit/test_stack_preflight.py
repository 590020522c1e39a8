"""Before a start: what would go wrong is said at once, with its setting and the way out."""

import os
import pwd
import socket
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stack.disk
import stack.preflight
import stack.service_user
from lakehouse.errors import StopPipelineError
from lakehouse.settings import StackSettings
from stack.disk import existing_parent, require_space
from stack.elsewhere import is_loopback
from stack.net import holder_of, is_free, is_listening
from stack.preflight import check_owner, check_paths, check_ports
from stack.program import Port, Program, Service, with_needs
from stack.service_user import ServiceUser, find_service_user
from tests.stacks import free_ports

GB = 2**30


def service(name, *ports, needs=()):
    program = Program(name=name, command=("/bin/true",), directory=Path("/"))
    return Service(
        program=program, title="", url="", ports=ports, needs=needs,
        prepare=lambda: None, probe=lambda: True,
    )  # fmt: skip


def port(number, *, variable="OLTP_PORT", host="127.0.0.1"):
    return Port(variable=variable, host=host, number=number)


def refusal(check, *arguments):
    with pytest.raises(StopPipelineError) as error:
        check(*arguments)
    return str(error.value)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port():
    return free_ports(1)[0]


@pytest.fixture
def disk(monkeypatch):
    """Say how much is free on every disk."""

    def has_free(size):
        usage = SimpleNamespace(total=100 * GB, used=0, free=size)
        monkeypatch.setattr(stack.disk.shutil, "disk_usage", lambda _path: usage)

    return has_free


def settings(tmp_path, **changes):
    return StackSettings(**{"data_dir": tmp_path / "var", "cache_dir": tmp_path / "c"} | changes)


def test_a_port_in_use_is_named_with_its_holder_and_its_setting(listener):
    message = refusal(check_ports, [service("oltp", port(listener))])
    me = psutil.Process()
    assert message == (
        f"oltp: port {listener} is in use by {me.name()} (pid {me.pid}). "
        "Stop that, or set OLTP_PORT to a free port; to use that server itself, set "
        "OLTP_HOST=127.0.0.1, and STACK_DATA_DIR to a new directory."
    )


def test_every_port_in_use_is_named_at_once(listener):
    with socket.create_server(("127.0.0.1", 0)) as another:
        number = another.getsockname()[1]
        found = [
            service("oltp", port(listener)),
            service("minio", port(number, variable="MINIO_PORT")),
        ]
        message = refusal(check_ports, found)
    assert "set OLTP_PORT" in message
    assert "set MINIO_PORT" in message
    assert len(message.splitlines()) == 2


def test_free_ports_on_loopback_are_taken(free_port):
    check_ports([service("oltp", port(free_port)), service("lander")])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_any_loopback_address_will_do(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "db.example.org"])  # noqa: S104
def test_an_address_that_others_could_reach_is_refused_with_the_variable_to_unset(host):
    found = service("minio", port(1, variable="MINIO_CONSOLE_PORT", host=host))
    message = refusal(check_ports, [found])
    assert f"minio: {host} is not a loopback address" in message
    assert message.endswith("Unset MINIO_HOST.")


def test_two_settings_with_one_port_are_both_named(free_port):
    found = [
        service("oltp", port(free_port)),
        service("warehouse", port(free_port, variable="WAREHOUSE_PORT")),
    ]
    message = refusal(check_ports, found)
    assert message.startswith(f"warehouse: WAREHOUSE_PORT and OLTP_PORT are both {free_port}.")


def test_a_port_is_free_again_when_its_server_has_gone(listener, free_port):
    assert not is_free("127.0.0.1", listener)
    assert is_listening("127.0.0.1", listener)
    assert is_free("127.0.0.1", free_port)
    assert not is_listening("127.0.0.1", free_port)


def test_a_server_on_all_addresses_is_in_the_way_too():
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - for a moment
        number = server.getsockname()[1]
        assert not is_free("127.0.0.1", number)


def test_a_holder_whom_we_may_not_know_is_still_a_holder(listener, monkeypatch):
    def denied(_kind):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    assert holder_of(listener) == "another program"


def test_a_full_disk_is_said_with_its_setting(tmp_path, disk):
    disk(1999 * 2**20)
    message = refusal(check_paths, settings(tmp_path), ServiceUser())
    assert f"{tmp_path}/var: 1,999 MB are free on its disk, 2,000 MB are needed" in message
    assert "STACK_DATA_DIR" in message


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_space_is_enough_from_the_first_megabyte_that_is_needed(free_mb, needed_mb):
    with pytest.MonkeyPatch.context() as patch:
        usage = SimpleNamespace(free=free_mb * 2**20)
        patch.setattr(stack.disk.shutil, "disk_usage", lambda _path: usage)
        if free_mb >= needed_mb:
            require_space(Path("/x"), needed_mb, variable="STACK_CACHE_DIR")
        else:
            with pytest.raises(StopPipelineError, match="STACK_CACHE_DIR"):
                require_space(Path("/x"), needed_mb, variable="STACK_CACHE_DIR")


def test_space_is_looked_for_where_the_directory_will_be(tmp_path):
    assert existing_parent(tmp_path / "not" / "yet") == tmp_path


def test_data_of_another_user_is_left_alone(tmp_path, disk, monkeypatch):
    disk(9 * GB)
    (tmp_path / "var").mkdir()
    monkeypatch.setattr(stack.preflight.os, "geteuid", lambda: os.getuid() + 1)
    assert "belongs to another user" in refusal(check_owner, tmp_path / "var")
    message = refusal(check_paths, settings(tmp_path), ServiceUser())
    assert message.startswith(f"{tmp_path}/var belongs to another user")
    assert "STACK_DATA_DIR" in message


@pytest.mark.parametrize(
    ("place", "variable"), [("data_dir", "STACK_DATA_DIR"), ("cache_dir", "STACK_CACHE_DIR")]
)
def test_servers_of_another_user_must_be_able_to_reach_their_places(
    tmp_path, disk, monkeypatch, place, variable
):
    disk(9 * GB)
    monkeypatch.setattr(
        stack.preflight, "open_to_all", lambda path: not str(path).startswith(str(tmp_path / "in"))
    )
    (tmp_path / "in").mkdir()
    closed = settings(tmp_path, **{place: tmp_path / "in" / "here"})
    message = refusal(check_paths, closed, ServiceUser(name="nobody", uid=1, gid=1))
    assert f"{tmp_path}/in/here cannot be reached by user nobody" in message
    assert variable in message
    check_paths(closed, ServiceUser())


def test_a_place_behind_a_closed_door_is_a_plain_error(tmp_path, disk, monkeypatch):
    disk(9 * GB)

    def closed(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(stack.preflight, "existing_parent", closed)
    message = refusal(check_paths, settings(tmp_path), ServiceUser())
    assert f"{tmp_path}/var cannot be reached: Permission denied" in message
    assert "STACK_DATA_DIR" in message


def test_a_file_in_the_way_is_a_plain_error(tmp_path, disk):
    disk(9 * GB)
    (tmp_path / "var").write_text("")
    message = refusal(check_paths, settings(tmp_path), ServiceUser())
    assert f"{tmp_path}/var is no directory" in message


@pytest.mark.parametrize("name", ["a,b", "a:b", 'a"b', "a\\b", "a\nb", "50%", "C#", "{x}"])
def test_a_path_that_configuration_files_cannot_name_is_refused(tmp_path, disk, name):
    disk(9 * GB)
    for place in ("data_dir", "cache_dir"):
        bad = settings(tmp_path, **{place: tmp_path / name})
        message = refusal(check_paths, bad, ServiceUser())
        assert f"STACK_{place.upper()}" in message


def test_an_ordinary_user_s_servers_run_as_that_user(monkeypatch):
    monkeypatch.setattr(stack.service_user, "is_root", lambda: False)
    assert find_service_user("nobody") == ServiceUser()


def test_root_s_servers_run_as_the_unprivileged_user_of_the_setting(monkeypatch):
    monkeypatch.setattr(stack.service_user, "is_root", lambda: True)
    nobody = pwd.getpwnam("nobody")
    account = find_service_user("nobody")
    assert (account.name, account.uid, account.gid) == ("nobody", nobody.pw_uid, nobody.pw_gid)


@pytest.mark.parametrize("name", ["root", "nobody-of-this-name"])
def test_root_s_servers_never_run_as_root_nor_as_nobody_known(monkeypatch, name):
    monkeypatch.setattr(stack.service_user, "is_root", lambda: True)
    assert "STACK_SERVICE_USER" in refusal(find_service_user, name)


def test_needs_come_along_and_come_first():
    services = {
        s.name: s
        for s in (service("oltp"), service("kafka"), service("connect", needs=("oltp", "kafka")))
    }
    assert with_needs(["connect", "oltp"], services) == ["oltp", "kafka", "connect"]


def test_a_service_that_there_is_not_is_named_with_those_there_are():
    message = refusal(with_needs, ["oltpp"], {"oltp": service("oltp"), "kafka": service("kafka")})
    assert message == "There is no service 'oltpp'. Did you mean oltp? Services: oltp, kafka."


@given(st.data())
def test_every_service_comes_once_and_after_all_it_needs(data):
    names = [f"s{number}" for number in range(6)]
    services = {}
    for number, name in enumerate(names):
        needs = st.lists(st.sampled_from(names[:number]), unique=True) if number else st.just([])
        services[name] = service(name, needs=tuple(data.draw(needs)))
    wanted = data.draw(st.lists(st.sampled_from(names)))
    order = with_needs(wanted, services)
    assert len(order) == len(set(order))
    assert set(wanted) <= set(order)
    for place, name in enumerate(order):
        assert set(services[name].needs) <= set(order[:place])
    needed = {need for name in order for need in services[name].needs}
    assert set(order) == set(wanted) | needed
