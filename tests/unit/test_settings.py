"""Settings: one variable and one default each, mistakes told plainly, and one reader."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import ValidationError

from connectors.definition import render
from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import sqlalchemy_url, warehouse_dsn
from lakehouse.secrets import ROLES
from lakehouse.settings import (
    ALL_SETTINGS,
    ROOT,
    AirflowSettings,
    ConnectSettings,
    KafkaSettings,
    LandingSettings,
    MinioSettings,
    MonitoringSettings,
    OltpSettings,
    ShopSettings,
    StackSettings,
    SupersetSettings,
    WarehouseSettings,
    default_data_dir,
    is_root,
    require_names_of_data,
    retired_warnings,
    settings_in_environment,
    socket_path,
)
from lakehouse.settings.retired import _RETIRED
from lakehouse.settings_document import settings_document
from lakehouse.variables import variables_of
from stack.kafka.worker import allowed_urls, security

PACKAGES = (
    "cli", "lakehouse", "producers", "connectors", "consumers", "batch", "replay", "orchestration",
    "dags", "stack", "monitoring", "devtools", "benchmarks",
)  # fmt: skip
VARIABLES = [(group, variable) for group in ALL_SETTINGS for variable in variables_of(group)]
ANOTHER = {int: "7777", float: "0.75", Path: "/somewhere/else", str: "another"}
ANOTHER_BY_NAME = {
    "BATCH_ENGINE": "spark",
    "CONNECT_PARTITIONS": "root",
    "SHOP_TIME_ZONE": "Asia/Tokyo",
    "SHOP_BASE_CURRENCY": "USD",
    "SHOP_LANGUAGE": "fr",
    "LOG_LEVEL": "debug",
    "LOG_FORMAT": "json",
    "ALERT_WEBHOOK_URL": "http://127.0.0.1:7777/alerts",
    "AIRFLOW_PUBLIC_URL": "https://airflow.example.org",
    "CONNECT_MAX_ROW_MB": "77",
    "STACK_ENGINE": "compose",
    "STACK_STORE": "seaweedfs",
    "CONNECT_SCHEME": "https",
    "KAFKA_SECURITY": "security.protocol=SSL ssl.ca.location='/etc/my ca.pem'",
    "MINIO_SCHEME": "https",
    "MINIO_REGION": "eu-west-3",
    "MINIO_ADDRESSING_STYLE": "virtual",
    "OLTP_SSL": "sslmode=require",
    "WAREHOUSE_SSL": "sslmode=verify-ca sslrootcert='/etc/my ca.pem'",
}
NOWHERE = {"HOME": "/nowhere", "STACK_ENV_FILE": "/nowhere/.env"}


def another_value(group, variable):
    default = getattr(group(), variable.field)
    kind = Path if default is None else type(default)
    return ANOTHER_BY_NAME.get(variable.name) or ANOTHER.get(kind, "/somewhere/else")


def refusal(group, **environment):
    with environment_of({"HOME": "/nowhere", **environment}), pytest.raises(StopPipelineError) as e:
        group()
    return str(e.value)


def error_of(group):
    try:
        group()
    except StopPipelineError as error:
        return str(error)
    return None


def test_every_setting_has_a_default_that_needs_no_environment():
    with environment_of({"HOME": "/nowhere"}):
        for group in ALL_SETTINGS:
            group()


def test_no_two_settings_share_a_variable():
    names = [variable.name for _, variable in VARIABLES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("group", "variable"), VARIABLES, ids=[variable.name for _, variable in VARIABLES]
)
def test_every_setting_is_taken_from_its_variable(group, variable):
    value = another_value(group, variable)
    if variable.name == "LANDING_FLUSH_SECONDS":
        value = "2.5"
    with environment_of({**NOWHERE, variable.name: value}):
        read = getattr(group(), variable.field)
        assert settings_in_environment()[variable.name] == value
        assert settings_in_environment().keys() == {"STACK_ENV_FILE", variable.name}
    assert str(read) == str(type(read)(value))
    assert str(read) != variable.default


@pytest.mark.parametrize(
    "variable", [one for _, one in VARIABLES], ids=[one.name for _, one in VARIABLES]
)
def test_every_setting_says_what_it_is_its_unit_and_when_to_change_it(variable):
    assert re.fullmatch(r"[A-Z].+\.", variable.description)
    assert variable.unit
    assert re.fullmatch(r"(When|Before) .+\.", variable.change)
    assert "|" not in variable.description + variable.change + variable.shown


def test_table_of_settings_is_up_to_date():
    written = (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
    assert written == settings_document(), "Run ./pipeline docs."


def test_table_of_settings_says_the_same_whatever_is_set_and_whoever_asks(monkeypatch):
    before = settings_document()
    monkeypatch.setattr("lakehouse.settings.stack.is_root", lambda: not is_root())
    with environment_of({"HOME": "/home/ann", "KAFKA_PORT": "1", "XDG_CACHE_HOME": "/x"}):
        assert settings_document() == before


def test_table_of_settings_has_each_once_under_its_group():
    rows = re.findall(r"^\| `(\w+)` \|", settings_document(), re.MULTILINE)
    assert rows == [variable.name for _, variable in VARIABLES]


def test_no_setting_is_told_to_be_retired_and_none_that_replaces_one_is_gone():
    names = {variable.name for _, variable in VARIABLES}
    assert names.isdisjoint(_RETIRED)
    replacing = re.findall(r"\b[A-Z]+_[A-Z_]+\b", " ".join(_RETIRED.values()))
    assert names >= set(replacing)


def test_variable_that_was_a_setting_is_named_with_what_replaces_it(tmp_path):
    with environment_of({"LANDING_REPLAY_ROWS": "5", "LANDING_WRITERS": "", "KAFKA_PORT": "1"}):
        (warning,) = retired_warnings()
    assert warning.startswith("LANDING_REPLAY_ROWS is not a setting any more")
    assert "CONSOLIDATION_CHUNK_ROWS" in warning
    file = tmp_path / ".env"
    file.write_text("LIVE_LINGER_MS=1\n")
    with environment_of({"STACK_ENGINE": "compose", "STACK_ENV_FILE": str(file)}):
        assert len(retired_warnings()) == 1
    with environment_of({"STACK_ENV_FILE": str(file)}):
        assert retired_warnings() == []


def test_what_an_earlier_env_init_wrote_is_no_reason_to_warn():
    with environment_of({"CONNECT_DATABASE_HOST": "oltp", "SUPERSET_DATABASE_PORT": "5432"}):
        assert retired_warnings() == []
    with environment_of({"CONNECT_DATABASE_HOST": "host.docker.internal"}):
        assert "OLTP_HOST" in retired_warnings()[0]


@pytest.mark.parametrize(("variable", "name"), [
    ("MINIO_GOLD_BUCKET", "eu-gold"), ("CONNECT_PUBLICATION_NAME", "mine"),
])  # fmt: skip
def test_data_with_a_name_that_it_cannot_have_any_more_is_not_left_behind(variable, name):
    with (
        environment_of({variable: name}),
        pytest.raises(StopPipelineError, match=f"{variable} is '{name}'.* would be left behind"),
    ):
        require_names_of_data()


def test_data_with_the_name_that_it_has_anyway_is_fine():
    with environment_of({"MINIO_BRONZE_BUCKET": "bronze", "MINIO_SILVER_BUCKET": ""}):
        require_names_of_data()
    with environment_of({"MINIO_GOLD_BUCKET": "eu-gold", "MINIO_BUCKET_PREFIX": "eu-"}):
        require_names_of_data()


def test_command_warns_once_of_a_variable_that_was_a_setting_and_continues():
    env = {**os.environ, "LIVE_LINGER_MS": "1"}
    command = [sys.executable, "-m", "cli", "settings", "--format", "json"]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.count("LIVE_LINGER_MS is not a setting any more") == 1
    rows = {row["variable"]: row for row in json.loads(done.stdout)}
    assert rows["KAFKA_PORT"]["unit"] == "port"
    assert rows["KAFKA_PORT"]["change"].startswith("When ")


def test_groups_keep_their_names_unless_the_prefix_is_another():
    assert ConnectSettings().group_id("landing") == "landing"
    assert ConnectSettings(topic_prefix="eu.shop").group_id("live") == "eu.shop-live"


def test_settings_do_not_change_once_read():
    settings = KafkaSettings()
    with pytest.raises(ValidationError):
        settings.port = 1


@pytest.mark.parametrize(
    ("group", "variable", "value", "allowed"),
    [
        (LandingSettings, "LANDING_FLUSH_SECONDS", "x", "a number of at least 0.25"),
        (LandingSettings, "LANDING_FLUSH_SECONDS", "inf", "a number of at least 0.25"),
        (LandingSettings, "LANDING_FLUSH_SECONDS", "0.1", "a number of at least 0.25"),
        (LandingSettings, "LANDING_RETENTION_HOURS", "2.5", "a whole number of at least 1"),
        (OltpSettings, "OLTP_PORT", "65536", "a whole number above 0 and up to 65535"),
        (OltpSettings, "OLTP_HOST", "127.0.0.1 ", "the name or address of a machine"),
        (OltpSettings, "OLTP_DATABASE", "Shop;drop", "small letters"),
        (MinioSettings, "MINIO_BUCKET_PREFIX", "B", "up to 56 small letters"),
        (ShopSettings, "SHOP_TIME_ZONE", "Mars/Olympus", "a time zone, such as Europe/Paris"),
        (ShopSettings, "SHOP_TIME_ZONE", "../etc/passwd", "a time zone, such as Europe/Paris"),
        (ShopSettings, "SHOP_BASE_CURRENCY", "euro", "three capital letters"),
    ],
)
def test_a_bad_value_is_refused_with_variable_value_and_what_is_allowed(
    group, variable, value, allowed
):
    message = refusal(group, **{variable: value})
    assert f"{variable} is {value!r}" in message
    assert allowed in message


def test_every_bad_variable_of_a_group_is_named_at_once():
    message = refusal(LandingSettings, LANDING_FLUSH_SECONDS="none", LANDING_MEMORY_MB="0")
    assert "LANDING_FLUSH_SECONDS is 'none'" in message
    assert "LANDING_MEMORY_MB is '0'" in message


@given(port=st.integers(-70_000, 140_000))
def test_a_port_is_taken_exactly_when_it_can_be_one(port):
    with environment_of({"HOME": "/nowhere", "CONNECT_PORT": str(port)}):
        if 0 < port < 65536:
            assert ConnectSettings().port == port
        else:
            with pytest.raises(StopPipelineError, match=f"CONNECT_PORT is '{port}'"):
                ConnectSettings()


@given(st.sampled_from(VARIABLES), st.text(st.characters(exclude_characters="\0", codec="utf-8")))
@example(VARIABLES[0], "~nosuchuser/x")
def test_whatever_stands_in_a_variable_it_is_a_value_or_a_plain_error(setting, text):
    group, variable = setting
    with environment_of({"HOME": "/nowhere", variable.name: text}):
        message = error_of(group)
    assert message is None or f"{variable.name} is {text!r}" in message


PASSWORDS = st.one_of(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    st.text("@:/%#?[] +$\\'", min_size=1),
)
PATHS = st.text(st.characters(exclude_characters="\0", codec="utf-8")).map(lambda t: f"/{t}")


def test_address_of_ipv6_is_in_brackets_wherever_a_port_follows():
    host = "2001:db8::1"
    assert KafkaSettings(host=host).bootstrap_servers == f"[{host}]:9092"
    for group in (ConnectSettings, MinioSettings, AirflowSettings, SupersetSettings):
        assert urlsplit(group(host=host).url).hostname == host
    given_ = {"driver": "psycopg", "role": "r", "password": "p", "database": "d"}
    assert urlsplit(sqlalchemy_url(WarehouseSettings(host=host), **given_)).port == 5433
    assert urlsplit(MonitoringSettings(host=host).url).hostname == host
    assert KafkaSettings(host="kafka.example").bootstrap_servers == "kafka.example:9092"


@given(
    mode=st.sampled_from(["disable", "require", "verify-ca", "verify-full"]),
    files=st.lists(PATHS, min_size=3, max_size=3),
    is_client=st.booleans(),
    password=PASSWORDS,
)
def test_parameters_of_tls_reach_every_client_as_they_were_written(
    mode, files, is_client, password
):
    authority, certificate, key = files
    given_ = {"sslmode": mode}
    given_ |= {"sslrootcert": authority} if mode.startswith("verify-") else {}
    given_ |= {"sslcert": certificate, "sslkey": key} if is_client else {}
    settings = WarehouseSettings(ssl=make_conninfo(**given_))
    assert settings.ssl_parameters == given_
    secrets = dict.fromkeys(ROLES, password)
    parsed = conninfo_to_dict(warehouse_dsn(settings, secrets, role="batch"))
    assert (given_ | {"password": password}).items() <= parsed.items()
    url = sqlalchemy_url(settings, driver="psycopg", role="r", password=password, database="d")
    assert dict(parse_qsl(urlsplit(url).query)) == given_
    assert unquote(urlsplit(url).password) == password
    assert (urlsplit(url).hostname, urlsplit(url).path) == (settings.host, "/d")
    shop = OltpSettings(ssl=settings.ssl)
    config = render(ConnectSettings(), shop, Path("/secrets"))
    found = {k.removeprefix("database."): v for k, v in config.items() if "database.ssl" in k}
    assert found == given_


TEXTS = st.text(st.characters(exclude_characters="\0\r\n", codec="utf-8")).map(str.strip)


@given(
    protocol=st.sampled_from(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
    mechanism=st.sampled_from(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
    user=TEXTS,
    password=TEXTS,
    authority=PATHS,
)
def test_properties_of_kafka_reach_both_kinds_of_client(
    protocol, mechanism, user, password, authority
):
    expected = {"security.protocol": protocol}
    expected |= {"ssl.ca.location": authority} if "SSL" in protocol else {}
    login = {"sasl.mechanism": mechanism, "sasl.username": user}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "password"
        file.write_text(password, newline="")
        written = expected
        if "SASL" in protocol:
            written = expected | login | {"sasl.password.file": str(file)}
            expected |= login | {"sasl.password": password}
        words = [f"{name}={value}" for name, value in written.items()]
        client = KafkaSettings(security=shlex.join(words)).client
    assert client == {"bootstrap.servers": "127.0.0.1:9092"} | expected
    java = [line.split("=", 1) for line in security(client).split("\n") if line]
    for clients in ("", "producer.", "consumer.", "admin."):
        found = {name.removeprefix(clients): unescaped(v) for name, v in java if name in {
            f"{clients}{known}" for known in JAVA}}  # fmt: skip
        assert found["security.protocol"] == protocol
        assert found.get("ssl.truststore.location") == expected.get("ssl.ca.location")
        assert found.get("sasl.mechanism") == expected.get("sasl.mechanism")
        if "SASL" in protocol:
            words = shlex.split(found["sasl.jaas.config"].removesuffix(";"), posix=True)
            assert words[2:] == [f"username={user}", f"password={password}"]


JAVA = ("security.protocol", "sasl.mechanism", "sasl.jaas.config", "ssl.truststore.location")


def unescaped(value):
    """As Java reads the value of a property."""
    units = re.sub(
        r"\\(u[0-9a-f]{4}|.)", lambda m: chr(int(m[1][1:], 16)) if m[1][1:] else m[1], value
    )
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


@pytest.mark.parametrize("value", [
    "SASL_SSL", "security.protocol=TLS", "ssl.ca.location=/ca.pem", "'security.protocol=SSL",
    "security.protocol=SSL ssl.ca.location=ca.pem", "security.protocol=SSL sasl.username=u",
    "security.protocol=PLAINTEXT ssl.ca.location=/ca.pem", "security.protocol=SASL_SSL",
    "security.protocol=SASL_SSL sasl.mechanism=GSSAPI sasl.username=u sasl.password.file=/p",
    "security.protocol=SASL_SSL sasl.mechanism=PLAIN sasl.username=u sasl.password=secret",
    "security.protocol=SASL_SSL sasl.mechanism=OAUTHBEARER sasl.username=u sasl.password.file=/p",
    "security.protocol=SASL_SSL sasl.mechanism=OAUTHBEARER sasl.oauthbearer.client.id=u",
    "security.protocol=SSL ssl.certificate.location=/c.pem",
    "security.protocol=SSL ssl.certificate.location=c.pem ssl.key.location=/c.key",
    "security.protocol=SASL_PLAINTEXT sasl.mechanism=PLAIN sasl.username=u sasl.password.file=/p "
    "ssl.certificate.location=/c.pem ssl.key.location=/c.key",
])  # fmt: skip
def test_properties_of_kafka_that_do_not_fit_are_refused(value):
    message = refusal(KafkaSettings, KAFKA_SECURITY=value)
    shown = value.replace("=secret", "=***")
    assert f"KAFKA_SECURITY is {shown!r}; allowed is security.protocol" in message


def test_token_and_certificate_for_kafka_reach_both_kinds_of_client(tmp_path):
    for name, text in (("secret", 'a "b"\n'), ("me.pem", "cert\n"), ("me.key", "key\n")):
        (tmp_path / name).write_text(text)
    client = KafkaSettings(
        security="security.protocol=SASL_SSL sasl.mechanism=OAUTHBEARER "
        "sasl.oauthbearer.client.id=me sasl.oauthbearer.token.endpoint.url=https://id/token "
        "sasl.oauthbearer.scope=kafka https.ca.location=/etc/id.pem "
        f"sasl.oauthbearer.client.secret.file={tmp_path}/secret "
        f"ssl.certificate.location={tmp_path}/me.pem ssl.key.location={tmp_path}/me.key"
    ).client
    assert client["sasl.oauthbearer.method"] == "oidc"
    assert client["sasl.oauthbearer.client.secret"] == 'a "b"'
    assert not {name for name in client if name.endswith(".file")}
    java = dict(line.split("=", 1) for line in security(client).split("\n") if line)
    java = {name: unescaped(value) for name, value in java.items()}
    assert java["producer.sasl.oauthbearer.token.endpoint.url"] == "https://id/token"
    assert java["admin.ssl.keystore.certificate.chain"] == "cert\n"
    assert java["consumer.ssl.keystore.key"] == "key\n"
    words = shlex.split(java["sasl.jaas.config"].removesuffix(";"))
    assert words[2:] == ["ssl.truststore.location=/etc/id.pem", "ssl.truststore.type=PEM"]
    own = "sasl.oauthbearer.client.credentials.client"
    assert (java[f"{own}.id"], java[f"{own}.secret"]) == ("me", 'a "b"')
    assert allowed_urls(client)[0].endswith("allowed.urls=https://id/token")


def test_certificate_for_kafka_that_cannot_be_read_is_named():
    client = {"ssl.certificate.location": "/none/me.pem", "ssl.key.location": "/none/me.key"}
    with pytest.raises(StopPipelineError, match=r"KAFKA_SECURITY: .*/none/me\.pem"):
        security(client)


def test_password_file_of_kafka_that_cannot_be_read_is_named(tmp_path):
    words = "security.protocol=SASL_SSL sasl.mechanism=PLAIN sasl.username=u sasl.password.file="
    with pytest.raises(StopPipelineError, match=r"KAFKA_SECURITY: .* cannot be read: .*/none"):
        _ = KafkaSettings(security=f"{words}{tmp_path}/none").client


@pytest.mark.parametrize("value", [
    "sslmode", "sslmode=on", "sslrootcert=/ca.pem", "sslmode=verify-full",
    "sslmode=require sslrootcert=/ca.pem", "sslmode=verify-ca sslrootcert=ca.pem",
    "sslmode=require sslcert=/c.pem", "sslmode=require host=elsewhere",
    "sslmode=require password=secret",
])  # fmt: skip
def test_parameters_that_two_clients_would_understand_differently_are_refused(value):
    message = refusal(OltpSettings, OLTP_SSL=value)
    shown = value.replace("=secret", "=***")
    assert f"OLTP_SSL is {shown!r}; allowed is libpq's parameters: sslmode" in message


@pytest.mark.parametrize("value", [
    "sslmode=require password=hunter2", "sslmode=require sslpassword = 'a hunter2'",
    "PASSWORD=a\nhunter2", "sasl.password='x hunter2", "'sasl.password=x hunter2'",
    "sasl.password=x=hunter2 security.protocol=SSL", "oauth.client.secret=hunter2",
    "postgresql://me:hunter2@db/shop", "postgresql://me:a@hunter2@db", "token=hunter2",
    "ssl.key.password.location=hunter2",
])  # fmt: skip
@pytest.mark.parametrize(
    ("group", "variable"), [(KafkaSettings, "KAFKA_SECURITY"), (OltpSettings, "OLTP_SSL")]
)
def test_password_in_a_value_that_is_refused_is_not_shown(group, variable, value):
    message = refusal(group, **{variable: value})
    assert message.startswith(f"{variable} is ")
    assert "***" in message
    assert "hunter2" not in message


def test_an_empty_variable_counts_as_not_set():
    with environment_of({"HOME": "/nowhere", "KAFKA_PORT": "", "STACK_DATA_DIR": ""}):
        assert KafkaSettings().port == 9092
        assert StackSettings().data_dir == default_data_dir()


def test_a_relative_directory_is_meant_from_where_the_caller_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with environment_of({"HOME": "/home/ann", "STACK_DATA_DIR": "x", "STACK_CACHE_DIR": "~/y"}):
        settings = StackSettings()
    assert settings.data_dir == tmp_path / "x"
    assert settings.cache_dir == Path("/home/ann/y")


@given(st.text("abc/é ", min_size=1, max_size=300))
def test_the_socket_s_path_fits_however_long_that_of_the_data_is(name):
    socket = socket_path(Path("/data") / name.strip("/"))
    assert len(str(socket).encode()) <= 100


def test_stacks_whose_sockets_are_elsewhere_have_different_ones():
    first, second = (socket_path(Path("/data") / (letter * 120)) for letter in "ab")
    assert first != second


def test_with_compose_its_file_gives_settings_and_the_environment_goes_before_it(tmp_path):
    file = tmp_path / ".env"
    file.write_text("# KAFKA_PORT=1\nOLTP_PORT=15432\nCONNECT_PORT=18083\nOLTP_ADMIN_PASSWORD=x\n")
    given = {"STACK_ENV_FILE": str(file), "CONNECT_PORT": "28083"}
    with environment_of({"STACK_ENGINE": "compose", **given}):
        ports = OltpSettings().port, ConnectSettings().port, KafkaSettings().port
        assert ports == (15432, 28083, 9092)
        assert StackSettings().secrets_path == file
        assert settings_in_environment() == {
            "STACK_ENGINE": "compose", "OLTP_PORT": "15432", **given,
        }  # fmt: skip


def test_natively_compose_s_file_means_nothing(tmp_path):
    file = tmp_path / ".env"
    file.write_text("OLTP_PORT=15432\n")
    with environment_of({"STACK_ENV_FILE": str(file), "STACK_DATA_DIR": str(tmp_path)}):
        assert OltpSettings().port == 5432
        assert StackSettings().secrets_path == tmp_path / "secrets.json"


def test_nobody_else_reads_the_environment():
    readers = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if reads_environment(ast.parse(file.read_text()))
    }
    # And a process without threads of its own, which becomes a command with its environment.
    assert readers == {"lakehouse/environment.py", "devtools/warm.py"}


def reads_environment(tree):
    words = {"environ", "environb", "getenv", "getenvb", "putenv", "expandvars"}
    # `process.environ()` of psutil is another process's.
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            if words & {alias.name for alias in node.names}:
                return True
        elif isinstance(node, ast.Attribute) and node.attr in words:
            is_of_os = isinstance(node.value, ast.Name) and node.value.id == "os"
            if is_of_os or id(node) not in called:
                return True
    return False
