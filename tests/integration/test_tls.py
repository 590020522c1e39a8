"""Servers that ask for TLS or a login, with certificates that are made here."""

import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from devtools import debian
from devtools.test_stack import free_ports, new_stack
from lakehouse.errors import NotAllowedError
from lakehouse.postgres import explaining, oltp_dsn
from lakehouse.secrets import Secrets
from lakehouse.trouble import Service
from stack.net import is_listening
from stack.service_user import find_service_user

USER = find_service_user("nobody")
HBA = """
hostssl all all all scram-sha-256 clientcert=verify-ca
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and what it has issued; another one, which nobody knows."""
    folder = tmp_path_factory.mktemp("certificates")
    for path in (folder, *folder.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("ca", "stranger"):
        openssl(folder, f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} "
                        f"-keyout {name}.key -out {name}.pem")  # fmt: skip
    for name, days in (("server", 2), ("expired", -1), ("client", 2)):
        openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=shop "
                        f"-keyout {name}.key -out {name}.csr")  # fmt: skip
        openssl(folder, f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
                        f"-extfile names -days {days} -out {name}.pem")  # fmt: skip
        shutil.copy(folder / f"{name}.key", folder / f"{name}.theirs")
        USER.own(folder / f"{name}.theirs")
    return folder


def openssl(folder, arguments):
    command = ["openssl", *arguments.split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def stack():
    """Ports, a folder and passwords; nothing of it is started."""
    with new_stack() as stack:
        stack.secrets.complete()
        yield stack


@contextmanager
def running(command, cwd, port):
    """A server, run as the service user, that listens."""
    with subprocess.Popen(
        list(map(str, command)), cwd=cwd, user=USER.uid, group=USER.gid, extra_groups=[]
    ) as server:
        try:
            while not is_listening("127.0.0.1", port):
                assert server.poll() is None
                time.sleep(0.05)
            yield server
        finally:
            server.terminate()


# Postgres


def programs():
    """Those of Debian: the wheel's Postgres is built without TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found and debian.can_install():
        debian.install("postgresql")
        return programs()
    return found[-1].parent


@contextmanager
def postgres(stack, certificates, name):
    data = USER.make_private_dir(stack.data_dir / name)
    USER.write_private(data / "password", stack.secrets["oltp_admin"])
    USER.write_private(data / "hba", HBA)
    USER.run(
        [programs() / "initdb", "-D", data / "data", "-U", "admin", "-A", "scram-sha-256",
         "--no-sync", "--pwfile", data / "password"],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, cwd=data,
    )  # fmt: skip
    values = {
        "listen_addresses": "127.0.0.1,127.0.0.2", "unix_socket_directories": "",
        "fsync": "off", "wal_level": "logical", "ssl": "on",
        "ssl_ca_file": certificates / "ca.pem", "ssl_cert_file": certificates / f"{name}.pem",
        "ssl_key_file": certificates / f"{name}.theirs", "hba_file": data / "hba",
    }  # fmt: skip
    options = [part for key, value in values.items() for part in ("-c", f"{key}={value}")]
    command = [programs() / "postgres", "-D", data / "data", "-p", stack.oltp.port, *options]
    with running(command, data, stack.oltp.port):
        yield


def ssl(certificates, authority="ca", client="client"):
    own = f" sslcert={certificates}/{client}.pem sslkey={certificates}/{client}.key"
    verified = f"sslmode=verify-full sslrootcert={certificates}/{authority}.pem"
    return verified + (own if client else "")


def admitted(stack, value, host="localhost"):
    """Whether the session of a role is encrypted."""
    stack = stack.with_settings(OLTP_HOST=host, OLTP_SSL=value, OLTP_DATABASE="postgres")
    query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    with (
        explaining(Service.SHOP, "The shop cannot be read"),
        psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="admin")) as connection,
    ):
        return connection.execute(query).fetchone()[0]


def refusal(*arguments, **options):
    with pytest.raises(NotAllowedError) as refused:
        admitted(*arguments, **options)
    assert "localhost" in str(refused.value) or "127.0.0." in str(refused.value)
    return str(refused.value)


@pytest.fixture(scope="module")
def shop(stack, certificates):
    with postgres(stack, certificates, "server"):
        yield stack


def test_postgres_lets_in_who_has_a_certificate_and_a_password(shop, certificates):
    assert admitted(shop, ssl(certificates))


@pytest.mark.parametrize(("authority", "client", "said", "to_do"), [
    ("stranger", "client", "certificate verify failed: .*(self-signed|local issuer)",
     "sslrootcert of OLTP_SSL has to be"),
    ("nowhere", "client", "root certificate file .*/nowhere.pem.* does not exist",
     "sslrootcert of OLTP_SSL has to be"),
    ("ca", "", "requires a valid client certificate", "sslcert of OLTP_SSL has to be"),
    ("ca", "stranger", "unknown ca", "sslcert of OLTP_SSL has to be"),
    ("ca", "expired", "certificate expired", "sslcert of OLTP_SSL has to be"),
])  # fmt: skip
def test_postgres_and_a_certificate_that_does_not_do(
    authority, client, said, to_do, shop, certificates
):
    message = refusal(shop, ssl(certificates, authority, client))
    assert message.startswith("The shop cannot be read: the shop's database does not allow it: ")
    assert re.search(said, message)
    assert to_do in message


def test_postgres_that_asks_for_tls_is_told_so(shop, certificates):
    assert "asks for TLS: set OLTP_SSL" in refusal(shop, "sslmode=disable")


def test_postgres_with_another_name_than_its_certificate_is_refused(shop, certificates):
    message = refusal(shop, ssl(certificates), host="127.0.0.2")
    assert "Set OLTP_HOST to a name in the server's certificate" in message
    lax = ssl(certificates).replace("verify-full", "verify-ca")
    assert admitted(shop, lax, host="127.0.0.2")


def test_postgres_refuses_a_wrong_password(shop, certificates, tmp_path):
    Secrets(tmp_path / "secrets.json").complete()
    other = shop.with_settings(STACK_SECRETS_FILE=tmp_path / "secrets.json")
    message = refusal(other, ssl(certificates))
    assert 'password authentication failed for user "admin". ./pipeline up oltp' in message


def test_postgres_whose_certificate_has_expired_is_not_trusted(stack, certificates):
    stack = stack.with_settings(OLTP_PORT=free_ports(1)[0])
    with postgres(stack, certificates, "expired"):
        message = refusal(stack, ssl(certificates))
    assert "certificate verify failed: certificate has expired. sslrootcert of OLTP" in message
