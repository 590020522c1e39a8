"""SeaweedFS as the object store: what it is started with, and what a stack refuses."""

import json

import pytest

from lakehouse.environment import environment_of
from lakehouse.errors import WrongArgumentError
from lakehouse.secrets import ROLES, Secrets
from stack.catalog import services
from stack.engine import stack_of_settings
from stack.minio.buckets import policies
from stack.paths import Data, StackConfig
from stack.preflight import check_store
from stack.prometheus.server import targets
from stack.seaweedfs.server import SeaweedServer
from stack.service_user import ServiceUser
from stack.web_uis import PAGES, WebUI


def config_of(tmp_path, store="seaweedfs", **variables):
    given = {"STACK_DATA_DIR": str(tmp_path), "STACK_STORE": store, **variables}
    with environment_of({"HOME": "/nowhere", **given}):
        return StackConfig()


def stack_data(config):
    return Data(root=config.stack.data_dir)


def secrets_in(tmp_path):
    return Secrets(tmp_path / "secrets.json").complete()


def test_its_users_are_allowed_what_those_of_minio_are(tmp_path):
    config, secrets = config_of(tmp_path, MINIO_BUCKET_PREFIX="eu-"), secrets_in(tmp_path)
    (tmp_path / "run").mkdir()
    SeaweedServer(config=config, secrets=secrets, user=ServiceUser()).prepare()
    file = tmp_path / "run" / "seaweedfs.json"
    assert file.stat().st_mode & 0o077 == 0
    told = json.loads(file.read_text())
    granted = {one["name"]: json.loads(one["content"]) for one in told["policies"]}
    assert granted == policies(config.minio)
    users = {one["name"]: one for one in told["identities"]}
    assert users.keys() == {"admin", *granted}
    for name, user in users.items():
        assert user["credentials"] == [{"accessKey": name, "secretKey": secrets[f"minio_{name}"]}]
        assert user.get("policyNames", []) == ([] if name == "admin" else [name])
    assert [n for n, user in users.items() if "actions" in user] == ["admin"]


def test_it_listens_on_loopback_only_and_says_all_its_ports(tmp_path):
    config = config_of(tmp_path, MINIO_PORT="19000", MINIO_CONSOLE_PORT="19010")
    store = services(config, secrets_in(tmp_path), ServiceUser())["minio"]
    options = dict(word[1:].split("=") for word in store.program.command if "=" in word)
    assert {options["ip"], options["ip.bind"]} == {"127.0.0.1"}
    ports = {int(value) for name, value in options.items() if ".port" in name} - {0}
    assert ports == {port.number for port in store.ports} == {19000, *range(19010, 19017)}
    assert options["filer.disableHttp"] == "true"
    assert options["master.telemetry"] == "false"
    assert not any(secret in " ".join(store.program.command) for secret in ROLES)


def test_a_stack_keeps_the_store_that_has_its_lake(tmp_path):
    config = config_of(tmp_path, store="")
    assert config.store == "minio"
    check_store(config, data := stack_data(config))
    data.seaweedfs.mkdir(parents=True)
    assert config.store == "seaweedfs"
    check_store(config, data)
    with pytest.raises(WrongArgumentError, match="in SeaweedFS, and STACK_STORE names another"):
        check_store(config_of(tmp_path, store="minio"), data)


def test_a_lake_in_minio_is_not_left_behind(tmp_path):
    config = config_of(tmp_path)
    (stack_data(config).of("minio") / "objects").mkdir(parents=True)
    with pytest.raises(WrongArgumentError, match="in MinIO, and STACK_STORE names another"):
        check_store(config, stack_data(config))


def test_compose_has_no_other_store_than_minio(tmp_path):
    config = config_of(tmp_path, STACK_ENGINE="compose", STACK_ENV_FILE=str(tmp_path / ".env"))
    with pytest.raises(WrongArgumentError, match=r"docker-compose.yml runs MinIO"):
        stack_of_settings(config)


def test_what_only_minio_has_is_not_asked_of_it(tmp_path):
    config, secrets = config_of(tmp_path), secrets_in(tmp_path)
    jobs = [one["labels"]["job"] for one in targets(config)]
    assert "minio" not in jobs
    assert "minio" in [one["labels"]["job"] for one in targets(config_of(tmp_path, "minio"))]
    assert not isinstance(PAGES["minio"](config, secrets), WebUI)
    assert isinstance(PAGES["minio"](config_of(tmp_path, "minio"), secrets), WebUI)
