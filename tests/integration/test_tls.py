"""Servers that ask for TLS or a login, with certificates that are made here."""

import json
import re
import subprocess
import sys
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from ssl import Purpose, create_default_context
from urllib.parse import parse_qs, urlsplit, urlunsplit

import orjson
import psycopg
import pytest
from confluent_kafka import Consumer

from connectors.registration import Content, apply
from connectors.rest import ConnectApi
from devtools import test_stack
from devtools.test_stack import free_ports, new_stack
from lakehouse.errors import AwayError, NotAllowedError, StopPipelineError
from lakehouse.http import _trusted
from lakehouse.kafka import QuietLog, admin_client, matching_topics
from lakehouse.postgres import explaining, oltp_dsn, sqlalchemy_url
from lakehouse.secrets import Secrets
from lakehouse.settings import ROOT, ConnectSettings
from lakehouse.trouble import Service
from stack.elsewhere import Elsewhere
from stack.kafka.broker import Broker
from stack.kafka.java import java_command
from stack.kafka.worker import Worker
from stack.minio.server import MinioServer
from stack.paths import Cache, Data
from stack.postgres.roles import add_database, prepare_oltp
from tests.tls import USER, make_certificates, openssl, postgres, running, ssl


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stack():
    """Ports, a folder and passwords; nothing of it is started."""
    with new_stack() as stack:
        stack.secrets.complete()
        yield stack


# Postgres


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


_ASK = """
import sys
from sqlalchemy import create_engine
with create_engine(sys.argv[1]).connect() as connection:
    query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    print(connection.exec_driver_sql(query).scalar())
"""


@pytest.mark.parametrize(("program", "driver"), [("airflow", "psycopg"), ("superset", "psycopg2")])
def test_pages_reach_a_warehouse_with_tls_by_their_own_drivers(program, driver, shop, certificates):
    """Their state is in databases of the warehouse's server, and Superset queries it."""
    there = shop.with_settings(OLTP_HOST="localhost", OLTP_SSL=ssl(certificates))
    admin = oltp_dsn(there.oltp, there.secrets, role="admin")
    password = shop.secrets["oltp_admin"]
    add_database(admin, program, password=password)
    python = getattr(Cache(root=shop.config.stack.cache_dir), program) / "bin" / "python"

    def asked(value):
        stack = shop.with_settings(
            WAREHOUSE_HOST="localhost", WAREHOUSE_PORT=shop.oltp.port, WAREHOUSE_SSL=value
        )
        url = sqlalchemy_url(
            stack.warehouse, driver=driver, role=program, password=password, database=program
        )
        return subprocess.run(
            [python, "-c", _ASK, url], check=False, capture_output=True, text=True
        )

    admitted = asked(ssl(certificates))
    assert admitted.stdout == "True\n", admitted.stderr
    assert "certificate verify failed" in asked(ssl(certificates, "stranger")).stderr
    assert "client certificate" in asked(ssl(certificates, client=None)).stderr


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


# The object store

LAKE = """
import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
import httpx
import lakehouse.http
import pyarrow as pa
import urllib3
if proxy := os.environ.get("HTTP_PROXY"):  # which these clients do not read
    class PoolManager(urllib3.ProxyManager):
        def __init__(self, **options):
            super().__init__(proxy, **options)
    urllib3.PoolManager = PoolManager
    lakehouse.http.http_client = partial(httpx.Client, proxy=proxy)
from batch.lake_sql import LakeSql, attach, connect
from consumers.bronze.conformance import require_conditional_put
from deltalake import write_deltalake
from lakehouse.connections import secrets, writing_lake
from lakehouse.delta import retry_later, scan
from lakehouse.environment import environment, environment_of
from lakehouse.errors import PipelineError
from lakehouse.object_store import addressed, explain_client, object_store
from lakehouse.settings import MinioSettings
from minio.credentials.providers import AssumeRoleProvider
from stack.minio.buckets import prepare_buckets
from urllib3.exceptions import HTTPError

lake, client = writing_lake(), object_store(MinioSettings(), secrets(), user="lander")

uri = lake.uri("silver", "t")

def prepare():
    prepare_buckets(MinioSettings(), secrets())

def write():
    require_conditional_put(client, "bronze")
    with retry_later("It cannot be written"):
        write_deltalake(uri, pa.table({"a": [1, 2]}), storage_options=addressed(uri, lake.options))

def read():
    print(scan(lake.open("silver", "t")).collect()["a"].to_list())
    with connect(lake.options, memory_mb=100) as duck:
        print(duck.execute(f"from {attach(duck, uri, version=0, name='t')}").fetchall())

def ask():
    answer = LakeSql(lake, memory_mb=100).ask("select max(a) from silver.t where a > 1")
    print(*answer.read(None))

def read_for_a_while():
    own = secrets()
    asked = AssumeRoleProvider(sts_endpoint=MinioSettings().url, access_key="batch",
                              secret_key=own["minio_batch"],
                              region=MinioSettings().region).retrieve()
    given = {"minio_batch_access_key": asked.access_key, "minio_batch": asked.secret_key,
             "minio_batch_session_token": asked.session_token}
    for missing in ("minio_batch_session_token", None):
        file = Path(FOLDER) / f"without-{missing}.json"
        file.write_text(json.dumps({k: v for k, v in given.items() if k != missing}))
        with environment_of({**environment(), "STACK_SECRETS_FILE": str(file)}):
            print(told(read_it))

def read_it():
    lake, client = writing_lake(), object_store(MinioSettings(), secrets(), user="batch")
    found = scan(lake.open("silver", "t")).collect()["a"].to_list()
    with connect(lake.options, memory_mb=100) as duck:
        rows = duck.execute(f"from {attach(duck, uri, version=0, name='t')}")
        return found, rows.fetchall(), client.bucket_exists("silver")

def list_buckets():
    try:
        client.bucket_exists("bronze")
    except HTTPError as error:
        raise explain_client(error, "It cannot be listed") from error

def test_bucket():
    require_conditional_put(client, "bronze")

def open_table():
    lake.open("silver", "t")

def told(do):
    try:
        return do()
    except PipelineError as error:
        return f"{type(error).__name__} {error}"

# At the same time: clients try again for seconds.
with ThreadPoolExecutor() as pool:
    print(*filter(None, pool.map(told, [ACTIONS])), sep="\\n")
"""


def of_lake(stack, *actions):
    """What a program prints that uses the lake: its libraries read the variables of the process."""
    code = LAKE.replace("ACTIONS", "".join(f"{action}," for action in actions))
    code = code.replace("FOLDER", repr(str(stack.data_dir)))
    done = subprocess.run(
        [sys.executable, "-c", code], env=stack.env, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


@contextmanager
def minio(stack, name, certificates=None, *, domain="", **settings):
    """A store, with this certificate if any; of a domain, it has the names of buckets as hosts."""
    folder, ports = stack.data_dir / f"minio-{name}", free_ports(2)
    stack = stack.with_settings(
        MINIO_PORT=ports[0], MINIO_CONSOLE_PORT=ports[1], STACK_DATA_DIR=folder,
        STACK_SECRETS_FILE=stack.config.stack.secrets_path, MINIO_REGION="eu-west-3", **settings,
    )  # fmt: skip
    server = MinioServer(config=stack.config, secrets=stack.secrets, user=USER)
    (folder / "run").mkdir(parents=True)
    server.prepare()
    if certificates is not None:
        certs = folder / "minio" / "certs"
        USER.write_private(certs / "public.crt", (certificates / f"{name}.pem").read_text())
        USER.write_private(certs / "private.key", (certificates / f"{name}.key").read_text())
    program = server.program()
    env = {**program.environment, **({"MINIO_DOMAIN": domain} if domain else {})}
    with running(program.command, program.directory, stack.minio.port, env=env):
        yield stack


@contextmanager
def secured(stack, certificates, name):
    """A store with this certificate, and the settings of programs that trust the authority."""
    trusted = {"MINIO_SCHEME": "https", "SSL_CERT_FILE": certificates / "ca.pem"}
    with minio(stack, name, certificates, MINIO_HOST="localhost", **trusted) as store:
        yield store


class Hosts(BaseHTTPRequestHandler):
    """A proxy to one store, whatever the host: stands for names that no resolver here knows."""

    protocol_version = "HTTP/1.1"
    port, asked = 0, set()

    def do_GET(self):
        url = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.add((url.hostname, url.path.split("/")[1]))
        path = urlunsplit(("", "", url.path, url.query, ""))
        with closing(HTTPConnection("127.0.0.1", self.port)) as store:
            store.request(self.command, path, content, dict(self.headers))
            answer = store.getresponse()
            told = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(told)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        self.wfile.write(told)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - as of HTTP

    def log_message(self, *_):
        """Say nothing."""


def test_lake_is_written_and_read_by_virtual_hosts(stack):
    with minio(stack, "hosts", domain="lake.test") as store:
        of_lake(store, "prepare")
        Hosts.port, Hosts.asked = store.minio.port, set()
        with ThreadingHTTPServer(("127.0.0.1", 0), Hosts) as proxy:
            threading.Thread(target=proxy.serve_forever).start()
            try:
                client = store.with_settings(
                    MINIO_HOST="lake.test", MINIO_ADDRESSING_STYLE="virtual",
                    HTTP_PROXY=f"http://127.0.0.1:{proxy.server_port}",
                )  # fmt: skip
                assert of_lake(client, "write") == []
                assert of_lake(client, "ask") == ["(2,)"]
            finally:
                proxy.shutdown()
    buckets = {"bronze", "silver", "gold"}
    assert {host for host, _ in Hosts.asked} == {f"{one}.lake.test" for one in buckets}
    assert buckets.isdisjoint(first for _, first in Hosts.asked)


@pytest.fixture(scope="module")
def store(stack, certificates):
    """With buckets, users and a table; tests come in any order."""
    with secured(stack, certificates, "server") as store:
        of_lake(store, "prepare")
        of_lake(store, "write")
        yield store


def test_lake_is_written_and_read_with_tls(store):
    assert of_lake(store, "read") == ["[1, 2]", "[(1,), (2,)]"]


def test_lake_is_read_with_credentials_that_end(store):
    refused, read = of_lake(store, "read_for_a_while")
    assert refused.startswith("NotAllowedError ")
    assert read == "([1, 2], [(1,), (2,)], True)"


def test_store_that_an_unknown_authority_has_signed_is_not_trusted(store, certificates):
    store = store.with_settings(SSL_CERT_FILE=certificates / "stranger.pem")
    listed, tested, opened = of_lake(store, "list_buckets", "test_bucket", "open_table")
    for message, why in (
        (listed, "unable to get local issuer"), (tested, "unable to get local issuer"),
        (opened, "UnknownIssuer"),
    ):  # fmt: skip
        assert message.startswith("NotAllowedError ")
        assert why in message
        assert "SSL_CERT_FILE has to name the authority" in message


def test_store_refuses_a_wrong_password(store, tmp_path):
    Secrets(tmp_path / "secrets.json").complete()
    other = store.with_settings(STACK_SECRETS_FILE=tmp_path / "secrets.json")
    (opened,) = of_lake(other, "open_table")
    assert opened.startswith("NotAllowedError s3://silver/t does not open: the object store does")
    assert "./pipeline up minio sets its users" in opened


@pytest.mark.long
def test_store_whose_certificate_has_expired_is_not_trusted(stack, certificates):
    with secured(stack, certificates, "expired") as store:
        tested, opened = of_lake(store, "test_bucket", "open_table")
    for message, why in ((tested, "certificate has expired"), (opened, "Expired")):
        assert message.startswith("NotAllowedError ")
        assert why in message
        assert "SSL_CERT_FILE has to name the authority" in message


# Kafka

BROKER = """
listeners=SASL_SSL://localhost:{port},EXPIRED://localhost:{expired},\
MUTUAL://localhost:{mutual},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://localhost:{port},EXPIRED://localhost:{expired},\
MUTUAL://localhost:{mutual},INTERNAL://127.0.0.1:{internal}
listener.security.protocol.map=SASL_SSL:SASL_SSL,EXPIRED:SASL_SSL,MUTUAL:SSL,\
INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INTERNAL
controller.quorum.voters=1@127.0.0.1:{controller}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
sasl.oauthbearer.jwks.endpoint.url={tokens}/keys
sasl.oauthbearer.expected.audience=kafka
ssl.keystore.type=PEM
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.sasl_ssl.ssl.keystore.location={folder}/server.pair
listener.name.expired.ssl.keystore.location={folder}/expired.pair
listener.name.mutual.ssl.keystore.location={folder}/server.pair
listener.name.mutual.ssl.client.auth=required
"""
LOGIN = """
listener.name.{listener}.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_shop="a \\\\"secret\\\\"";
listener.name.{listener}.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{listener}.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.{listener}.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
"""
PASSWORD = 'a "secret"'  # noqa: S105 - of this test


@dataclass(frozen=True)
class Cluster:
    stack: test_stack.TestStack
    certificates: Path
    expired: int
    mutual: int
    tokens: str

    def client(self, *, authority="ca", mechanism="PLAIN", password=PASSWORD, expired=False):
        file = self.stack.data_dir / f"password-{token_hex(4)}"
        file.write_text(password)
        login = f"sasl.username=shop sasl.password.file={file}"
        if mechanism == "OAUTHBEARER":
            login = (
                f"sasl.oauthbearer.client.id=shop sasl.oauthbearer.client.secret.file={file} "
                f"sasl.oauthbearer.token.endpoint.url={self.tokens}/token "
                f"sasl.oauthbearer.scope=shop"
            )
        security = (
            f"security.protocol=SASL_SSL sasl.mechanism={mechanism} {login} "
            f"ssl.ca.location={self.certificates}/{authority}.pem"
        )
        settings = {"KAFKA_SECURITY": security, "KAFKA_HOST": "localhost"}
        settings |= {"KAFKA_PORT": self.expired} if expired else {}
        return self.stack.with_settings(**settings)

    def with_certificate(self, name):
        """A client that has this certificate, or none, where the broker wants one."""
        own = f"ssl.certificate.location={{0}}/{name}.pem ssl.key.location={{0}}/{name}.key "
        security = f"security.protocol=SSL {own if name else ''}ssl.ca.location={{0}}/ca.pem"
        return self.stack.with_settings(
            KAFKA_SECURITY=security.format(self.certificates),
            KAFKA_HOST="localhost",
            KAFKA_PORT=self.mutual,
        )


@pytest.fixture(scope="module")
def tokens(certificates):
    """The URL of a server that gives tokens to who has the password: OpenID Connect's part of it.

    RFC 6749, 4.4 (client credentials), 7515 (signature) and 7517 (keys).
    """
    key = certificates / "server.key"
    modulus = openssl(certificates, f"rsa -in {key} -noout -modulus").decode().strip()
    number = bytes.fromhex(modulus.partition("=")[2])
    public = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "e": "AQAB"}

    def encoded(content):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        return urlsafe_b64encode(content).decode().rstrip("=")

    class Tokens(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer(200, {"keys": [{**public, "n": encoded(number)}]})

        def do_POST(self):
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            expected = f"Basic {b64encode(f'shop:{PASSWORD}'.encode()).decode()}"
            if self.headers["Authorization"] != expected or asked["scope"] != ["shop"]:
                self._answer(401, {"error": "invalid_client"})
                return
            now = int(time.time())
            claims = {"sub": "shop", "aud": "kafka", "iat": now, "exp": now + 600}
            content = f"{encoded({'alg': 'RS256', 'kid': '1'})}.{encoded(claims)}"
            signed = openssl(certificates, f"dgst -sha256 -sign {key}", content.encode())
            token = f"{content}.{encoded(signed)}"
            self._answer(200, {"access_token": token, "expires_in": 600, "token_type": "Bearer"})

        def _answer(self, status, content):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Tokens) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def cluster(stack, certificates, tokens):
    for name in ("server", "expired"):
        pair = (certificates / f"{name}.key").read_text() + (
            certificates / f"{name}.pem"
        ).read_text()
        USER.write_private(certificates / f"{name}.pair", pair)
    expired, internal, mutual = free_ports(3)
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={tokens}/keys"
    java_options = f"{stack.kafka.java_options} {allowed}"
    stack = stack.with_settings(KAFKA_JAVA_OPTIONS=java_options.strip())
    broker = Broker(config=stack.config, secrets=stack.secrets, user=USER)
    (stack.data_dir / "run").mkdir(exist_ok=True)
    program = broker.program()
    own = BROKER.format(
        port=stack.kafka.port, controller=stack.kafka.controller_port, expired=expired,
        internal=internal, mutual=mutual, folder=certificates, tokens=tokens,
    )  # fmt: skip
    own += "".join(LOGIN.format(listener=name) for name in ("sasl_ssl", "expired"))
    with pytest.MonkeyPatch.context() as patch:
        rendered = Broker._configuration
        patch.setattr(Broker, "_configuration", lambda self: rendered(self) + own)
        patch.setattr(Broker, "_format", lambda _: None)
        broker.prepare()
    format_storage(stack)
    with running(program.command, program.directory, stack.kafka.port, env=program.environment):
        yield Cluster(stack, certificates, expired, mutual, tokens)


def format_storage(stack):
    cache, data = Cache(root=stack.config.stack.cache_dir), Data(root=stack.data_dir)
    command = java_command(
        cache, data, program="format", heap_mb=128, options=(),
        arguments=("format", "--cluster-id=MkU3OEVBNTcwNTJENDM2Qg", "--add-scram",
                   f"SCRAM-SHA-512=[name=shop,password={PASSWORD}]",
                   "--config", str(data.run / "kafka.properties")),
    )  # fmt: skip
    USER.run(command, env={"LANG": "C.UTF-8"}, cwd=data.of("kafka"))


def topics_of(stack):
    """Their names. A busy machine may need longer than one try to say whom it lets in."""
    admin, deadline = admin_client(stack.kafka.client), time.monotonic() + 60
    while True:
        try:
            return matching_topics(admin, "^nothing", timeout_seconds=3)
        except AwayError:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_kafka_lets_in_who_has_the_password(mechanism, cluster):
    assert topics_of(cluster.client(mechanism=mechanism)) == []


@pytest.mark.parametrize(("values", "said", "to_do"), [
    ({"password": "wrong"}, "Authentication failed", "sasl.password.file of KAFKA_SECURITY"),
    ({"authority": "stranger"}, "local issuer", "ssl.ca.location of KAFKA_SECURITY"),
    ({"authority": "nowhere"}, "ssl.ca.location failed", "ssl.ca.location of KAFKA_SECURITY"),
    ({"expired": True}, "certificate has expired", "ssl.ca.location of KAFKA_SECURITY"),
    ({"mechanism": "OAUTHBEARER", "password": "wrong"}, "invalid_client",
     "sasl.oauthbearer.client.secret.file of KAFKA_SECURITY"),
])  # fmt: skip
def test_kafka_and_a_client_that_it_does_not_let_in(values, said, to_do, cluster):
    with pytest.raises(StopPipelineError) as refused:
        topics_of(cluster.client(**values))
    message = str(refused.value)
    assert said in message
    assert to_do in message


def test_kafka_lets_in_who_has_a_certificate(cluster):
    assert topics_of(cluster.with_certificate("client")) == []


@pytest.mark.parametrize("name", ["", "expired"])
def test_kafka_and_a_certificate_that_does_not_do(name, cluster):
    with pytest.raises(StopPipelineError, match=r"ssl\.certificate\.location of KAFKA_SECURITY"):
        topics_of(cluster.with_certificate(name))


@pytest.mark.long
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "OAUTHBEARER"])
def test_change_of_a_shop_with_tls_reaches_a_kafka_with_tls(mechanism, shop, cluster, certificates):
    """Debezium's driver and all clients of Kafka Connect log in with what ours log in with."""
    name = mechanism.lower().replace("-", "_")
    stack = cluster.client(mechanism=mechanism).with_settings(
        OLTP_HOST="localhost", OLTP_SSL=ssl(certificates), OLTP_DATABASE=name,
        CONNECT_TOPIC_PREFIX=name, CONNECT_SLOT_NAME=name,
    )  # fmt: skip
    secrets_file = stack.config.stack.connect_secrets_path
    worker = Worker(config=stack.config, secrets=stack.secrets, user=USER)
    worker.prepare()
    program = worker.program()
    with running(program.command, program.directory, stack.connect.port, env=program.environment):
        prepare_oltp(stack.oltp, stack.secrets)
        with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="admin")) as connection:
            connection.execute(CAPTURED)
        apply(stack.connect, stack.oltp, stack.kafka, secrets_file, Content())
        reader = Consumer(
            {
                **stack.kafka.client,
                "group.id": "test",
                "topic.metadata.refresh.interval.ms": 500,
                "auto.offset.reset": "earliest",
            },
            logger=QuietLog(),
        )
        reader.subscribe([f"{name}.public.orders"])
        records = (record for _ in range(60) for record in reader.consume(1, timeout=1))
        record = next(record for record in records if record.error() is None)
        reader.close()
        other = stack.with_settings(OLTP_SSL=ssl(certificates, "stranger")).oltp
        with pytest.raises(StopPipelineError, match=r"TLS between .*PKIX.*\. Correct OLTP_SSL"):
            apply(stack.connect, other, stack.kafka, secrets_file, Content())
    assert orjson.loads(record.value())["after"] == {"id": 42}


# Debian's Postgres may be older than what the pipeline's own set-up of a source needs.
CAPTURED = """
create table public.orders (id integer primary key);
insert into public.orders values (42);
create schema cdc;
create table cdc.heartbeat (source text primary key, sent_at timestamptz default now());
create table cdc.signal (id text primary key, type text, data text);
create publication dbz_shop for tables in schema public, cdc;
grant usage on schema public, cdc to debezium;
grant select on all tables in schema public to debezium;
grant all on all tables in schema cdc to debezium;
"""


@pytest.fixture
def gate(certificates, tmp_path, monkeypatch):
    """Kafka Connect as behind a gate with TLS and a login: it knows of a connector that runs."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    _trusted.cache_clear()
    expected = f"Basic {b64encode(b'shop:a:secret').decode()}"

    class Gate(BaseHTTPRequestHandler):
        def do_GET(self):
            is_let_in = self.headers["Authorization"] == expected
            self.send_response(200 if is_let_in else 401)
            self.end_headers()
            self.wfile.write(
                b'{"connector": {"state": "RUNNING"}, "tasks": [{"state": "RUNNING"}]}'
            )

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gate) as server:
        context = create_default_context(Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "login").write_text("shop:a:secret\n")
        yield ConnectSettings(
            host="localhost", port=server.server_port, scheme="https", auth_file=tmp_path / "login"
        )
        server.shutdown()
    _trusted.cache_clear()


def test_kafka_connect_is_asked_with_tls_and_a_login(gate):
    with ConnectApi.of(gate) as api:
        assert api.state().is_running


def test_kafka_connect_that_refuses_a_login_says_which_file_to_correct(gate):
    gate.auth_file.write_text("shop:wrong")
    with (
        ConnectApi.of(gate) as api,
        pytest.raises(StopPipelineError, match=r"refuses \(401\): .*CONNECT_AUTH_FILE has to name"),
    ):
        api.state()


def test_kafka_connect_with_another_authority_is_not_trusted(gate, certificates, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "stranger.pem"))
    _trusted.cache_clear()
    with (
        ConnectApi.of(gate) as api,
        pytest.raises(StopPipelineError, match=r"local issuer.*SSL_CERT_FILE has to name"),
    ):
        api.state()


# Servers that others run


def problem(name, stack, **settings):
    stack = stack.with_settings(**settings) if settings else stack
    return Elsewhere(stack.config, stack.secrets).problem(name)


def test_shop_elsewhere_is_asked_with_tls_and_a_login(shop, certificates):
    asked = shop.with_settings(
        OLTP_HOST="localhost", OLTP_SSL=ssl(certificates), OLTP_DATABASE="asked"
    )
    prepare_oltp(asked.oltp, asked.secrets)
    assert problem("oltp", asked) is None
    stranger = ssl(certificates, authority="stranger")
    assert "sslrootcert of OLTP_SSL has to be" in problem("oltp", asked, OLTP_SSL=stranger)
    away = problem("oltp", asked, OLTP_DATABASE="nowhere")
    assert away.endswith("Correct OLTP_DATABASE.")


def test_kafka_elsewhere_is_asked_with_tls_and_a_login(cluster):
    assert problem("kafka", cluster.client()) is None
    wrong = {"password": "other"}
    assert "sasl.username and sasl" in problem("kafka", cluster.client(**wrong))


def test_connect_elsewhere_is_asked_with_tls_and_a_login(stack, gate):
    config = replace(stack.config, connect=gate)
    assert Elsewhere(config, stack.secrets).problem("connect") is None
    gate.auth_file.write_text("shop:wrong")
    assert "CONNECT_AUTH_FILE" in Elsewhere(config, stack.secrets).problem("connect")


def test_store_elsewhere_is_asked_with_tls_and_a_login(store, certificates, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    assert problem("minio", store) is None
    Secrets(tmp_path / "secrets.json").complete()
    refused = problem("minio", store, STACK_SECRETS_FILE=tmp_path / "secrets.json")
    assert refused.action.startswith("./pipeline prepare minio makes its users")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "stranger.pem"))
    assert "SSL_CERT_FILE has to name the authority" in problem("minio", store)


def test_up_leaves_out_servers_of_other_machines(stack):
    elsewhere = stack.with_settings(OLTP_HOST="db.invalid", MINIO_HOST="192.0.2.1")
    done = elsewhere.run("up", "oltp", "minio")
    assert "oltp is at postgresql://db.invalid:" in done.stderr
    assert "Start it, or correct OLTP_HOST and OLTP_PORT" in done.stderr
    assert "Start it, or correct MINIO_HOST and MINIO_PORT" in done.stderr
    rows = json.loads(elsewhere.run("status", "--format", "json").stdout)
    states = {row["service"]: row["state"] for row in rows}
    assert {name for name, state in states.items() if state == "ELSEWHERE"} == {"oltp", "minio"}
    assert set(states.values()) == {"STOPPED", "ELSEWHERE"}
