"""What a container may: whom it reaches, who it is, what it is told, and who reaches it."""

import json

import psutil
import pytest

from tests.compose.images import tag_of

pytestmark = [pytest.mark.compose, pytest.mark.timeout(5400)]

PORT_OF = {
    "oltp": 5432,
    "warehouse": 5432,
    "kafka": 9092,
    "connect": 8083,
    "minio": 9000,
    "airflow": 8080,
    "superset": 8088,
}
"""Who serves, and where."""
NEEDS = {
    "connect": {"oltp", "kafka"},
    "auto-restart": {"connect"},
    "lander": {"kafka", "minio"},
    "live": {"kafka", "warehouse"},
    "airflow": {"warehouse"},
    "airflow-dags": {"airflow", "warehouse"},
    "airflow-scheduler": {"airflow", "oltp", "kafka", "connect", "minio", "warehouse"},
    "superset": {"warehouse"},
}
"""Whom a service works with."""
STRANGERS = {
    "connect": {"warehouse", "minio", "airflow", "superset"},
    "auto-restart": {"oltp", "warehouse", "minio", "airflow", "superset"},
    "lander": {"oltp", "warehouse", "airflow", "superset"},
    "live": {"oltp", "minio", "airflow", "superset"},
    "airflow": {"oltp", "kafka", "connect", "minio", "superset"},
    "superset": {"oltp", "kafka", "connect", "minio", "airflow"},
    "minio": {"oltp", "warehouse", "kafka", "connect", "airflow", "superset"},
    "oltp": {"warehouse", "kafka", "minio", "airflow", "superset"},
    "warehouse": {"oltp", "kafka", "connect", "minio"},
}
"""Who is not to be reached from it, whatever it knows."""


PROBE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def is_open(target):
    try:
        socket.create_connection(target, 3).close()
    except OSError:
        return False
    return True
targets = [tuple(target) for target in json.loads(sys.argv[1])]
with ThreadPoolExecutor(len(targets)) as pool:
    answers = list(pool.map(is_open, targets))
print(json.dumps([target for target, answer in zip(targets, answers) if answer]))
"""


def reached(system, service, targets):
    """Those of the (host, port) that a connection comes about to.

    Tried from the service's network, but not in its container, whose first process may take a
    stranger's end for that of one of its own: Postgres then starts all over.
    """
    network = f"container:{system.inspect(service)['Id']}"
    probe = ("python3", "-c", PROBE, json.dumps(sorted(targets)))
    answer = system.engine.answer("run", "--rm", "--network", network, tag_of("programs"), *probe)
    return set(map(tuple, json.loads(answer)))


def addresses(system, service):
    networks = system.inspect(service)["NetworkSettings"]["Networks"].values()
    return [network["IPAddress"] for network in networks]


@pytest.mark.parametrize("service", NEEDS)
def test_service_reaches_those_that_it_works_with(system, service):
    wanted = {(host, PORT_OF[host]) for host in NEEDS[service]}
    assert reached(system, service, wanted) == wanted


@pytest.mark.parametrize("service", STRANGERS)
def test_service_reaches_no_stranger_by_name_or_address(system, service):
    tried = {
        (host, PORT_OF[stranger])
        for stranger in STRANGERS[service]
        for host in (stranger, *addresses(system, stranger))
    }
    assert len(tried) > len(STRANGERS[service])
    assert not reached(system, service, tried)


def test_ports_are_open_to_this_machine_alone(system):
    listening = {
        (connection.laddr.port, connection.laddr.ip)
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    published = set(system.ports.values())
    assert {port for port, _ in listening} >= published
    assert {ip for port, ip in listening if port in published} == {"127.0.0.1"}


def test_nothing_runs_as_root_or_may_become_it(system):
    for service in system.services:
        container = system.inspect(service)
        if container["State"]["Running"]:
            processes = system.engine.answer("top", container["Id"], "-eo", "pid,uid").split("\n")
            users = {line.split()[1] for line in processes[1:]}
            assert users, service
            assert "0" not in users, f"{service} runs as root"
        host = container["HostConfig"]
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert not host["Privileged"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service


def test_no_password_is_told_by_the_engine_an_image_or_a_log(system):
    told = [json.dumps(system.inspect(service)) for service in system.services]
    told += [system.compose("logs", "--no-color").stdout]
    for image in system.images():
        told.append(system.engine.answer("history", "--no-trunc", image))
        told.append(system.engine.answer("inspect", image))
    assert len(system.passwords) >= 20
    for name, password in system.passwords.items():
        assert not any(password in text for text in told), name


def test_service_holds_the_passwords_of_its_roles_and_no_other(system):
    for service, roles in {
        "lander": {"minio_lander"},
        "live": {"warehouse_live"},
        "connect": {"oltp_debezium"},
        "minio": {"minio_admin"},
        "superset": {"warehouse_superset", "superset_admin", "superset_viewer", "superset_key"},
    }.items():
        assert set(system.execute(service, "ls", "/run/secrets").stdout.split()) == roles, service


def test_images_hold_no_environment_file_and_no_tests(system):
    found = system.execute("lander", "find", "/", "-xdev", "-name", ".env", check=False).stdout
    assert not found
    shop = system.execute("lander", "ls", "-A", "/opt/shop").stdout.split()
    assert not {"tests", ".git", "var", ".env"} & set(shop)
