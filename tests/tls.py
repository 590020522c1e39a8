"""Certificates, and a Postgres that asks for them: what several files of tests start."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from devtools import debian
from stack.net import is_listening
from stack.service_user import find_service_user

USER = find_service_user("nobody")
HBA = """
hostssl all all all scram-sha-256 clientcert=verify-ca
"""


def make_certificates(folder):
    """Make an authority, and what it has issued; another one, which nobody knows."""
    for path in (folder, *folder.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("ca", "stranger"):
        openssl(folder, f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} "
                        f"-keyout {name}.key -out {name}.pem")  # fmt: skip
    for name, days in (("server", 2), ("renewed", 2), ("expired", -1), ("client", 2)):
        openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=shop "
                        f"-keyout {name}.key -out {name}.csr")  # fmt: skip
        openssl(folder, f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
                        f"-extfile names -days {days} -out {name}.pem")  # fmt: skip
    if USER.gid is not None:
        # Libpq takes a key that root's group may read, and Kafka Connect needs to.
        os.chown(folder / "client.key", 0, USER.gid)
        (folder / "client.key").chmod(0o640)
    return folder


def openssl(folder, arguments, content=None):
    command = ["openssl", *arguments.split()]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, input=content
    ).stdout


@contextmanager
def running(command, cwd, port, env=None):
    """A server, run as the service user, that listens."""
    with subprocess.Popen(
        list(map(str, command)),
        cwd=cwd,
        user=USER.uid,
        group=USER.gid,
        extra_groups=[],
        env=env,
    ) as server:
        try:
            while not is_listening("127.0.0.1", port):
                assert server.poll() is None
                time.sleep(0.05)
            yield server
        finally:
            server.terminate()


def programs(*, before=1000):
    """The newest of Debian before a version: the wheel's Postgres is built without TLS."""
    found = {int(one.parts[-3]): one for one in Path("/usr/lib/postgresql").glob("*/bin/postgres")}
    if not found and debian.can_install():
        # Without a server of Debian's own, which would take the port of the shop's.
        debian.install("postgresql-common")
        with Path("/etc/postgresql-common/createcluster.conf").open("a") as settings:
            settings.write("create_main_cluster = false\n")
        debian.install("postgresql")
        return programs(before=before)
    fitting = [version for version in found if version < before]
    assert fitting, f"install a PostgreSQL before {before}: apt has {sorted(found)} only"
    return found[max(fitting)].parent


@contextmanager
def postgres(stack, certificates, name, *, before=1000):
    own = programs(before=before)
    data = USER.make_private_dir(stack.data_dir / name)
    USER.write_private(data / "password", stack.secrets["oltp_admin"])
    USER.write_private(data / "hba", HBA)
    USER.run(
        [own / "initdb", "-D", data / "data", "-U", "admin", "-A", "scram-sha-256",
         "--no-sync", "--pwfile", data / "password"],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, cwd=data,
    )  # fmt: skip
    give_certificate(data, certificates, name)
    values = {
        "listen_addresses": "127.0.0.1,127.0.0.2", "unix_socket_directories": "",
        "fsync": "off", "wal_level": "logical", "ssl": "on",
        "ssl_ca_file": certificates / "ca.pem", "ssl_cert_file": data / "server.pem",
        "ssl_key_file": data / "server.key", "hba_file": data / "hba",
    }  # fmt: skip
    options = [part for key, value in values.items() for part in ("-c", f"{key}={value}")]
    command = [own / "postgres", "-D", data / "data", "-p", stack.oltp.port, *options]
    ready = [own / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(stack.oltp.port)]
    with running(command, data, stack.oltp.port) as server:
        # It listens before it lets anybody in.
        while subprocess.run(ready, check=False).returncode != 0:
            time.sleep(0.05)
        try:
            yield data
        finally:
            # Fast: a smart shutdown waits for Connect's sessions, which do not end.
            server.send_signal(signal.SIGINT)


def give_certificate(data, certificates, name):
    """Give a server its certificate; one that runs reads it when its configuration is reloaded."""
    for ending in ("pem", "key"):
        USER.write_private(
            data / f"server.{ending}", (certificates / f"{name}.{ending}").read_text()
        )


def ssl(certificates, authority="ca", client="client"):
    own = f" sslcert={certificates}/{client}.pem sslkey={certificates}/{client}.key"
    verified = f"sslmode=verify-full sslrootcert={certificates}/{authority}.pem"
    return verified + (own if client else "")
