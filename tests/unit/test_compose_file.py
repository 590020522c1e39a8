"""docker-compose.yml: as natively, and nothing open that need not be."""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from lakehouse.secrets import ROLES, variable_of
from lakehouse.settings import (
    ALL_SETTINGS,
    ROOT,
    MinioSettings,
    OltpSettings,
    StackSettings,
    WarehouseSettings,
)
from lakehouse.variables import variables_of
from stack.airflow.server import USER as AIRFLOW_USER
from stack.catalog import AIRFLOW, DEFAULT, MONITORING, SHOP, SUPERSET
from stack.env_file import COMPOSE_FILE, entries
from stack.superset.server import THREADS
from stack.superset.server import USER as SUPERSET_USER

TEXT = COMPOSE_FILE.read_text()
FILE = yaml.safe_load(TEXT)
SERVICES = FILE["services"]
TOOLS = {"pipeline"}
ONE_SHOTS = {name for name in SERVICES if name.startswith("setup-")} - {"setup-dashboards"}
RUNNING = sorted(SERVICES.keys() - ONE_SHOTS - TOOLS)
OURS = {
    "auto-restart",
    "lander",
    "live",
    "exporter",
    "pipeline",
    *ONE_SHOTS,
    "airflow",
    "airflow-dags",
    "airflow-scheduler",
}
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)")
SETTINGS = {variable.name for group in ALL_SETTINGS for variable in variables_of(group)}
PLACES = {"STACK_ENGINE", "STACK_ENV_FILE", "STACK_DATA_DIR", "STACK_CACHE_DIR",
          "STACK_SECRETS_FILE", "STACK_SERVICE_USER", "STACK_STORE",
          "KAFKA_HEAP_MB", "CONNECT_HEAP_MB", "KAFKA_JAVA_OPTIONS",
          "BATCH_ENGINE", "SPARK_MASTER", "SPARK_REMOTE",
          "MONITORING_PORT", "MONITORING_SCRAPE_SECONDS",
          "MONITORING_RETENTION_DAYS"}  # fmt: skip
"""Of the native stack alone, or of a host that is not in a container."""

NAMES_OF_DATA = {
    "CONNECT_PUBLICATION_NAME", "MINIO_BRONZE_BUCKET", "MINIO_SILVER_BUCKET", "MINIO_GOLD_BUCKET",
}  # fmt: skip
"""No settings any more, but programs refuse some values of them."""


def names(service, what):
    return set(SERVICES[service].get(what, ()))


def volumes(service):
    """Named ones: which, where, and whether the image's folder fills it while it is empty."""
    for given in SERVICES[service].get("volumes", ()):
        if isinstance(given, dict):
            yield given["source"], given["target"], not given["volume"]["nocopy"]
        elif not given.startswith("."):
            source, at, *_ = given.split(":")
            yield source, at, True


def value(text):
    """A scalar with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def test_services_have_the_names_that_they_have_natively():
    assert SERVICES.keys() - ONE_SHOTS - TOOLS - {"setup-dashboards"} >= set(DEFAULT)


@pytest.mark.parametrize(("profile", "known"), [("core", SHOP), ("dashboards", SUPERSET)])
def test_profiles_start_what_belongs_together(profile, known):
    started = {name for name, one in SERVICES.items() if one["profiles"] == [profile]}
    assert {name for name in started if not name.startswith("setup-")} == set(known)


def test_monitoring_is_what_runs_natively_and_grafana():
    started = {name for name, one in SERVICES.items() if one["profiles"] == ["monitoring"]}
    assert started == {*MONITORING, "grafana"}


def test_orchestration_is_airflow():
    started = {name for name, one in SERVICES.items() if one["profiles"] == ["orchestration"]}
    assert started == {*AIRFLOW, "setup-airflow"}


@pytest.mark.parametrize("name", RUNNING)
def test_what_runs_on_is_asked_for_its_health_and_started_again(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["lander", "live"])
def test_what_stops_for_a_person_is_not_started_again_and_again(name):
    shell, script = SERVICES[name]["entrypoint"]
    assert shell == "sh"
    assert (ROOT / script.removeprefix("/opt/shop/")).is_file()
    # Then nothing answers there, which is how anybody sees it.
    assert "/dev/tcp/127.0.0.1/" in SERVICES[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["pipeline", "airflow-scheduler"])
def test_what_a_replay_has_quarantined_outlives_its_container(name):
    text = (ROOT / SERVICES[name]["build"]["dockerfile"]).read_text()
    folder = re.search(r"STACK_DATA_DIR=(\S+)", text)[1] + "/replay"
    (volume,) = [source for source, at, _ in volumes(name) if at == folder]
    # Otherwise it would begin as root's, and the other image's user has another number.
    made = re.search(r"install -d -o \w+ -g \w+ -m 700([^&]+)", text)[1].split()
    assert folder in made
    assert [other for other in SERVICES for source, _, _ in volumes(other) if source == volume] == [
        name
    ]


def test_volume_is_first_filled_by_one_image():
    """Whichever container is made first fills it, and it belongs to that one's user."""
    fillers = defaultdict(set)
    for name, service in SERVICES.items():
        for source, _, is_filled in volumes(name):
            if is_filled:
                fillers[source].add(service["image"])
    assert fillers.keys() == FILE["volumes"].keys()
    assert {volume for volume, images in fillers.items() if len(images) > 1} == set()


@pytest.mark.parametrize("name", sorted(ONE_SHOTS))
def test_what_ends_is_waited_for_by_something_of_the_same_profile(name):
    """Otherwise `up --wait` would take its end for a failure."""
    assert SERVICES[name]["restart"] == "no"
    waiting = [
        other
        for other in SERVICES.values()
        if other.get("depends_on", {}).get(name) == {"condition": "service_completed_successfully"}
    ]
    assert SERVICES[name]["profiles"] in [other["profiles"] for other in waiting]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_is_bounded_and_has_no_more_rights_than_it_needs(name):
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", value(service["mem_limit"]))
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & service.keys()
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned_by_version(name):
    build = SERVICES[name].get("build", {})
    images = [image for arg, image in build.get("args", {}).items() if arg.endswith("_IMAGE")]
    for image in [SERVICES[name]["image"], *images]:
        assert re.search(r":[^:/]*\d+\.\d+", value(image)), image


def test_each_dockerfile_starts_from_an_argument_with_the_version_that_compose_gives():
    builds = [one["build"] for one in SERVICES.values() if "build" in one]
    assert {build["dockerfile"] for build in builds} == {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "docker").rglob("Dockerfile")
    }
    for build in builds:
        text = (ROOT / build["dockerfile"]).read_text()
        arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
        started = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
        assert started == {f"${{{name}}}" for name in arguments}
        assert arguments == {name: value(build["args"][name]) for name in arguments}


def test_no_image_runs_as_root():
    for path in (ROOT / "docker").rglob("Dockerfile"):
        users = re.findall(r"^USER (\S+)$", path.read_text(), re.MULTILINE)
        assert users, path
        assert users[-1] != "root"


def test_ports_are_published_where_bind_address_says_and_nowhere_else():
    published = [port for one in SERVICES.values() for port in one.get("ports", ())]
    assert published
    guard = "${BIND_ADDRESS:?run ./pipeline env init first}:"
    assert [port for port in published if not port.startswith(guard)] == []
    bind = next(e for e in entries(TEXT, passwords={}, given={}) if e.name == "BIND_ADDRESS")
    assert bind.value == "127.0.0.1"


def test_published_ports_are_those_of_the_settings():
    published = {
        name: int(number)
        for one in SERVICES.values()
        for port in one.get("ports", ())
        for name, number in re.findall(r"\$\{(\w+_PORT):-(\d+)\}", port)
    }
    defaults = {v.name: v.default for group in ALL_SETTINGS for v in variables_of(group)}
    # Grafana is there in Compose alone.
    defaults["GRAFANA_PORT"] = 3000
    assert published == {name: int(defaults[name]) for name in published}
    written = {e.name: e.value for e in entries(TEXT, passwords={}, given={})}
    assert {name: int(written[name]) for name in published} == published


def test_every_secret_is_a_role_s_variable_and_every_role_has_one():
    assert FILE["secrets"] == {role: {"environment": variable_of(role)} for role in ROLES}


def test_no_password_stands_in_the_file_or_in_an_environment():
    for service in SERVICES.values():
        given = service.get("environment", {})
        for name, text in given.items():
            if re.search("PASS|SECRET|KEY", name) and not name.startswith("CONNECT_"):
                assert name.endswith("_FILE")
                assert str(text).startswith("/run/secrets/")
    assert not [name for name in VARIABLE.findall(TEXT) if "PASSWORD" in name]


@pytest.mark.parametrize(
    ("service", "roles"),
    [
        ("oltp", {"oltp_admin"}),
        ("warehouse", {"warehouse_admin"}),
        ("kafka", set()),
        ("connect", {"oltp_debezium", "mask_salt"}),
        ("setup-connect", {"oltp_monitor"}),
        ("minio", {"minio_admin"}),
        ("auto-restart", set()),
        ("lander", {"minio_lander"}),
        ("live", {"warehouse_live"}),
        ("superset", {"warehouse_superset", "superset_admin", "superset_viewer", "superset_key"}),
        ("airflow", {"warehouse_airflow", "airflow_admin", "airflow_keys"}),
        ("exporter", {"oltp_monitor", "warehouse_monitor", "minio_reader"}),
        ("prometheus", set()),
    ],
)
def test_a_container_gets_the_passwords_of_its_roles_and_no_others(service, roles):
    assert names(service, "secrets") == roles


def test_administrators_passwords_are_with_the_servers_and_their_set_up_only():
    for role in ("oltp_admin", "warehouse_admin", "minio_admin"):
        holders = {name for name in SERVICES if role in names(name, "secrets")}
        assert {name for name in holders if not name.startswith("setup-")} == {role.split("_")[0]}


@pytest.mark.parametrize(
    ("service", "unreachable"),
    [
        ("superset", {"oltp", "kafka", "connect", "minio", "lander", "live", "airflow"}),
        ("auto-restart", {"oltp", "warehouse", "minio", "superset", "airflow"}),
        ("lander", {"oltp", "warehouse", "superset", "airflow"}),
        ("live", {"oltp", "minio", "airflow"}),
        ("minio", {"oltp", "warehouse", "kafka", "connect"}),
        ("connect", {"warehouse", "minio", "superset", "airflow"}),
        ("airflow", {"oltp", "kafka", "connect", "minio", "live", "superset"}),
        ("prometheus", {"oltp", "warehouse", "airflow", "superset"}),
        ("grafana", {"oltp", "warehouse", "kafka", "connect", "minio", "airflow", "superset"}),
    ],
)
def test_a_container_reaches_what_it_needs(service, unreachable):
    reached = {other for other in SERVICES if names(service, "networks") & names(other, "networks")}
    assert reached.isdisjoint(unreachable)
    needs = set(SERVICES[service].get("depends_on", ())) - ONE_SHOTS
    assert reached >= needs


def test_only_the_scheduler_may_call_out_of_the_stack():
    closed = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    open_ = {n for n, one in FILE["networks"].items() if (one or {}).get("driver_opts") != closed}
    assert open_ == {"outside"}
    assert [name for name in SERVICES if "outside" in names(name, "networks")] == [
        "airflow-scheduler"
    ]


def test_every_variable_of_the_file_is_known_to_env_init_or_is_a_setting():
    known = {entry.name for entry in entries(TEXT, passwords={}, given={})} | SETTINGS
    assert set(VARIABLE.findall(TEXT)) <= known


@pytest.mark.parametrize("name", sorted(OURS - {"setup-superset"}))
def test_our_programs_get_every_setting_that_is_not_a_place(name):
    given = {key for key in SERVICES[name]["environment"] if not key.startswith("AIRFLOW__")}
    assert given == SETTINGS - PLACES | NAMES_OF_DATA


@pytest.mark.parametrize("name", sorted(OURS - {"setup-superset"} | {"setup-dashboards"}))
def test_contract_files_are_wherever_a_program_looks_for_them(name):
    """Programs that see different contracts would give the same tables different columns."""
    folder = SERVICES[name]["environment"]["CONTRACTS_DIR"]
    assert f"./contracts:{folder}:ro" in SERVICES[name]["volumes"]


def test_settings_that_are_handed_through_have_no_second_default():
    """Those with a value say where something is, inside."""
    fixed = {key for key, text in FILE["x-settings"].items() if text is not None}
    assert all(re.search(r"_(HOST|PORT|DIR|URL)$", key) for key in fixed)


def properties(name):
    lines = (ROOT / "stack" / "kafka" / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_fixed_values_of_servers_are_the_native_ones():
    assert SERVICES["superset"]["environment"]["SERVER_THREADS_AMOUNT"] == THREADS
    region = SERVICES["minio"]["environment"]["MINIO_SITE_REGION"]
    assert region == f"${{MINIO_REGION:-{MinioSettings().region}}}"


def test_connect_is_configured_as_natively():
    given = SERVICES["connect"]["environment"]
    said = {key: str(text) for key, text in given.items()}
    own = {"BOOTSTRAP_SERVERS", "GROUP_ID", "CONFIG_STORAGE_TOPIC", "OFFSET_STORAGE_TOPIC",
           "STATUS_STORAGE_TOPIC"}  # fmt: skip
    native = properties("connect.properties")
    # Addresses; how the password is read; what the image sets itself.
    other = {"bootstrap.servers", "listeners", "rest.advertised.host.name", "rest.advertised.port",
             "plugin.path", "key.converter", "value.converter"}  # fmt: skip
    for key, text in native.items():
        if key in other or key.startswith("config.providers"):
            continue
        variable = key.upper().replace(".", "_")
        assert said[variable if variable in own else f"CONNECT_{variable}"] == text, key


def test_kafka_s_file_is_the_native_one_and_all_that_it_leaves_open_is_said():
    service = SERVICES["kafka"]
    mounted = "./stack/kafka/server.properties:/mnt/shared/config/server.properties:ro"
    assert mounted in service["volumes"]
    open_ = [key for key, text in properties("server.properties").items() if "$" in text]
    said = {f"KAFKA_{key.upper().replace('.', '_')}" for key in open_}
    assert said <= service["environment"].keys()


@pytest.mark.parametrize("name", ["oltp", "warehouse"])
def test_postgres_reads_the_native_file_as_it_is(name):
    file = ROOT / "stack" / "postgres" / f"{name}.conf"
    mounted = f"./stack/postgres/{name}.conf:/etc/postgresql/postgresql.conf:ro"
    assert mounted in SERVICES[name]["volumes"]
    assert "$" not in file.read_text()


@pytest.mark.parametrize("group", [OltpSettings, WarehouseSettings])
def test_connect_and_superset_are_told_of_a_database_by_its_name_inside_whoever_tells_them(group):
    server = group(host="127.0.0.1", port=15432)
    assert StackSettings(engine="native").seen_by_services(server) == server
    seen, inside = StackSettings(engine="compose").seen_by_services(server), FILE["x-settings"]
    name = group.model_config["env_prefix"]
    assert (seen.host, seen.port) == (inside[f"{name}HOST"], inside[f"{name}PORT"])
    assert seen.database == server.database


def test_connector_reads_its_password_from_the_folder_that_connect_allows():
    allowed = SERVICES["connect"]["environment"][
        "CONNECT_CONFIG_PROVIDERS_DIRECTORY_PARAM_ALLOWED_PATHS"
    ]
    assert FILE["x-settings"]["CONNECT_SECRETS_DIR"] == allowed
    written = {e.name: e.value for e in entries(TEXT, passwords={}, given={})}
    assert written["CONNECT_SECRETS_DIR"] == allowed


def test_who_logs_in_is_the_same_as_natively():
    text = (ROOT / "docker" / "superset" / "start.py").read_text()
    assert f'"user": "{SUPERSET_USER}"' in text
    assert AIRFLOW_USER == "admin"


FOR_DEVELOPERS = {"devtools", "benchmarks"}


def test_images_hold_what_runs_and_no_more():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[2:] for line in lines if line.startswith("!/")}
    assert lines[1] == "*"
    assert all((ROOT / name).exists() for name in kept)
    assert not kept & {".env", ".git", "var", "tests", ".venv", *FOR_DEVELOPERS}
    packages = json.loads(
        re.search(r"packages = (\[.*\])", Path(ROOT / "pyproject.toml").read_text())[1]
    )
    assert kept >= set(packages) - FOR_DEVELOPERS
