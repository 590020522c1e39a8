"""Servers that others run: which ones these are, and what `up`, `status` and `doctor` say of them.

Here none of them answers; those that do are in tests/integration/test_source.py and test_tls.py.
"""

import io
import socket
from dataclasses import replace

import pytest
from rich.console import Console

from cli.demo import demo
from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError, WrongArgumentError
from stack.bootstrap import steps
from stack.catalog import SERVERS
from stack.control import Stack
from stack.doctor.machine import required_programs
from stack.doctor.services import diagnose_services
from stack.elsewhere import Elsewhere, is_elsewhere, prepares
from stack.paths import Cache, StackConfig
from stack.preflight import check_example, port_problems
from stack.progress import Steps
from stack.service_user import ServiceUser
from stack.source.check import Source
from tests.stacks import free_ports
from tests.unit.test_source_check import PREPARED


@pytest.fixture(autouse=True)
def _any_user(monkeypatch):
    monkeypatch.setattr("stack.control.find_service_user", lambda _name: ServiceUser())


def stack_of(tmp_path, **variables):
    with environment_of({"STACK_DATA_DIR": str(tmp_path), **variables}):
        return Stack(StackConfig())


# The rule


def found_elsewhere(tmp_path, **variables):
    config = stack_of(tmp_path, **variables).config
    return [name for name in (*SERVERS, "lander", "airflow") if is_elsewhere(name, config)]


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::1", "127.0.0.2", "192.0.2.1", "db.invalid",
             "2001:db8::1", socket.gethostname()],
)  # fmt: skip
def test_server_whose_host_is_set_is_elsewhere_on_this_machine_too(name, host, tmp_path):
    assert found_elsewhere(tmp_path, **{f"{name.upper()}_HOST": host}) == [name]


def test_server_whose_host_is_not_set_is_ours_whatever_else_is(tmp_path):
    others = {f"{name.upper()}_PORT": "20000" for name in SERVERS}
    empty = {f"{name.upper()}_HOST": "" for name in SERVERS}
    assert found_elsewhere(tmp_path, **others, **empty, OLTP_DATABASE="eshop") == []
    assert found_elsewhere(tmp_path, AIRFLOW_HOST="127.0.0.1") == []


@pytest.mark.parametrize("name", SERVERS)
def test_stack_with_data_of_its_own_server_keeps_it_at_any_loopback_address(name, tmp_path):
    (tmp_path / name / "data").mkdir(parents=True)
    variable = f"{name.upper()}_HOST"
    assert found_elsewhere(tmp_path, **{variable: "localhost"}) == []
    assert found_elsewhere(tmp_path, **{variable: "192.0.2.1"}) == [name]


def test_folder_that_kafka_connect_makes_is_no_data_of_kafka(tmp_path):
    (tmp_path / "kafka").mkdir()
    assert found_elsewhere(tmp_path, KAFKA_HOST="localhost") == ["kafka"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - refused
def test_all_addresses_are_no_server_and_are_refused(host, tmp_path):
    stack = stack_of(tmp_path, MINIO_HOST=host)
    assert not is_elsewhere("minio", stack.config)
    [told, *_] = port_problems([stack._services["minio"]])
    assert told.problem.startswith(f"minio: {host} is not a loopback address")


def test_port_in_use_names_what_makes_its_server_the_one_that_is_used(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        services = stack_of(tmp_path, OLTP_PORT=port, SUPERSET_PORT=port)._services
        way_out = "to use that server itself, set OLTP_HOST=127.0.0.1"
        assert [p.action for p in port_problems([services["oltp"], services["lander"]])] == [
            f"Stop that, or set OLTP_PORT to a free port; {way_out}."
        ]
        (tmp_path / "oltp").mkdir()
        [told] = port_problems([services["oltp"]])
        assert told.action.endswith(f"{way_out}, and STACK_DATA_DIR to a new directory.")
        [told] = port_problems([services["superset"]])
        assert told.action == "Stop that, or set SUPERSET_PORT to a free port."


def test_example_is_not_sold_into_a_database_of_somebody_else(tmp_path):
    with environment_of({"STACK_DATA_DIR": str(tmp_path / "new"), "OLTP_HOST": "127.0.0.1"}):
        stack = Stack(StackConfig(example=tmp_path))
    with pytest.raises(WrongArgumentError, match=r"OLTP_HOST is 127\.0\.0\.1"):
        check_example(stack.config, stack.data)


def test_set_up_of_a_server_elsewhere_is_a_command_of_its_own(tmp_path):
    hosts = {f"{name.upper()}_HOST": "127.0.0.1" for name in SERVERS}
    stack = stack_of(tmp_path, **hosts)
    prepared = {step.service for step in steps(stack.config, stack._secrets)}
    for name in ("warehouse", "connect", "minio"):
        assert prepares(name, stack.config) == f"./pipeline prepare {name}"
        assert name in prepared
        assert prepares(name, stack_of(tmp_path).config) == f"./pipeline up {name}"
    assert "source check" in prepares("oltp", stack.config)


def test_program_of_a_server_elsewhere_need_not_be_installed(tmp_path):
    cache = Cache(root=tmp_path)
    minio = stack_of(tmp_path, MINIO_HOST="192.0.2.1").config
    assert set(required_programs(minio, cache)) == {cache.servers, cache.kafka}
    postgres = stack_of(tmp_path, KAFKA_HOST="kafka.example", STACK_STORE="seaweedfs").config
    assert set(required_programs(postgres, cache)) == {
        cache.servers, cache.kafka, cache.seaweedfs,
    }  # fmt: skip
    hosts = {f"{name.upper()}_HOST": "192.0.2.1" for name in SERVERS}
    assert required_programs(stack_of(tmp_path, **hosts).config, cache) == {}


# Servers that do not answer


@pytest.fixture
def nobody(tmp_path):
    """A stack all of whose servers are elsewhere, at ports where nobody listens."""
    ports = dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True))
    found = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
    stack = stack_of(tmp_path, **found, **{f"{n.upper()}_HOST": "127.0.0.1" for n in SERVERS})
    stack._secrets.complete()
    return stack


def test_up_says_of_each_server_elsewhere_why_it_cannot_be_used(nobody):
    text = io.StringIO()
    nobody._note_elsewhere(SERVERS, Steps(Console(file=text)))
    lines = iter(text.getvalue().splitlines())
    for name in SERVERS:
        assert next(lines).endswith(f"{nobody._services[name].url} and not started here")
        variable = name.upper()
        said = next(lines)
        assert said.startswith(f"{name}: ")
        assert " does not answer" in said
        assert said.endswith(
            f"Start it, or correct {variable}_HOST and {variable}_PORT; or unset {variable}_HOST: "
            "./pipeline up then starts one."
        )
        assert "?." not in said


def test_server_of_another_machine_is_not_replaced_by_one_of_ours(tmp_path):
    stack = stack_of(tmp_path, CONNECT_HOST="connect.invalid")
    stack._secrets.complete()
    told = Elsewhere(stack.config, stack._secrets).problem("connect")
    assert told.action == "Start it, or correct CONNECT_HOST and CONNECT_PORT."


def test_each_lack_of_a_shop_elsewhere_is_told_with_its_own_remedy(tmp_path, monkeypatch):
    server = replace(
        PREPARED, wal_level="replica", roles=[], has_cdc=False, is_published=False,
        slot_status="lost",
    )  # fmt: skip
    source = Source(server=server, tables=[])
    monkeypatch.setattr(Elsewhere, "problem", lambda *_: None)
    monkeypatch.setattr("stack.elsewhere.read_source", lambda *_: source)
    stack = stack_of(tmp_path, OLTP_HOST="192.0.2.1")
    stack._secrets.complete()
    told = Elsewhere(stack.config, stack._secrets).remarks("oltp")
    assert [one.action for one in told] == [
        "alter system set wal_level = 'logical', and restart the server.",
        "./pipeline connect apply --accept-loss.",
        "Is it the right database?",
        "./pipeline source check URL --apply.",
    ]
    assert "dbz_shop does not exist" in told[-1]
    assert not any("wal_level" in one for one in told[1:])


def test_status_and_doctor_tell_servers_elsewhere_from_those_that_are_stopped(nobody):
    found = {one.service: one for one in nobody.status()}
    for name in SERVERS:
        assert found[name].is_elsewhere
        assert not found[name].is_ready
        assert "does not answer" in found[name].problem
    assert found["lander"].state == "STOPPED"
    assert found["lander"].problem is None
    *away, nothing = diagnose_services(found)
    assert [one.words.partition(":")[0] for one in away] == list(SERVERS)
    assert all("correct " in one.remedy for one in away)
    assert nothing.words == "nothing runs"
    said = [one.words for one in diagnose_services({**found, "lander": running(found["lander"])})]
    assert [s.partition(":")[0] for s in said if "does not answer" in s] == list(SERVERS)


def test_demo_does_not_begin_where_no_simulator_can_sell(nobody, monkeypatch):
    monkeypatch.setattr(Stack, "up", lambda *_, **__: pytest.fail("something was started"))
    oltp = nobody.config.oltp
    given = {
        "OLTP_HOST": oltp.host, "OLTP_PORT": str(oltp.port),
        "STACK_DATA_DIR": str(nobody.config.stack.data_dir),
    }  # fmt: skip
    said = r"OLTP_HOST is 127\.0\.0\.1, where no simulator can sell: .*[.?] Unset it; or make"
    with environment_of(given), pytest.raises(WrongArgumentError, match=said):
        demo()


def running(one):
    return replace(one, state="RUNNING", is_ready=True)


# TLS


TLS = {
    "kafka": {"KAFKA_SECURITY": "security.protocol=SSL"},
    "connect": {"CONNECT_SCHEME": "https"},
    "minio": {"MINIO_SCHEME": "https"},
}


@pytest.fixture
def installed(monkeypatch):
    """What an `up` that gets so far raises, before anything is installed."""

    class InstalledError(Exception):
        pass

    def install(*_, **__):
        raise InstalledError

    monkeypatch.setattr("stack.control.installing", install)
    monkeypatch.setattr("stack.control.check_paths", lambda *_: None)
    return InstalledError


@pytest.mark.parametrize("name", TLS)
def test_up_refuses_tls_with_a_server_that_it_starts_without(name, tmp_path, installed):
    [variable] = TLS[name]
    said = f"{variable} asks for .*, and {name} is started here with .*{name.upper()}_HOST"
    with pytest.raises(StopPipelineError, match=said):
        stack_of(tmp_path, **TLS[name]).up([name])


@pytest.mark.parametrize("name", TLS)
def test_up_lets_pass_tls_with_a_server_that_it_does_not_start(name, tmp_path, installed):
    there = {f"{name.upper()}_HOST": "192.0.2.1"}
    with pytest.raises(installed):
        stack_of(tmp_path, **TLS[name], **there).up([name])
    with pytest.raises(installed):
        stack_of(tmp_path, **TLS[name]).up(["oltp"])


def test_up_lets_pass_what_its_own_servers_have(tmp_path, installed):
    plain = {"KAFKA_SECURITY": "security.protocol=PLAINTEXT", "MINIO_SCHEME": "http"}
    with pytest.raises(installed):
        stack_of(tmp_path, **plain).up(SERVERS)
