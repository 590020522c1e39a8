"""kubernetes/: what its API takes, no more rights than needed, and the same as docker-compose.yml.

`kubectl` builds it and its schemas validate it; no cluster runs it.
"""

import copy
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from lakehouse.secrets import GIVEN as GIVEN_KEYS
from lakehouse.secrets import variable_of
from lakehouse.settings import ROOT, MonitoringSettings, StackSettings
from stack.env_file import COMPOSE_FILE
from stack.install import install
from stack.paths import Cache
from stack.progress import silent
from tests.documents import Document

pytestmark = pytest.mark.integration
FOLDER = ROOT / "kubernetes"
COMPOSE = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
GIVEN = {
    "oltp", "setup-oltp", "warehouse", "kafka", "minio", "superset", "setup-superset",
    "setup-dashboards", "statsd-exporter", "prometheus", "grafana",
}  # fmt: skip
"""Servers that the cluster has, or that are elsewhere, and their own set-up."""
COMMANDS = {"pipeline"}
"""Run in a pod that is there."""
DIFFERENT = {
    ("connect", "ADVERTISED_HOST_NAME"): "of several workers each has an address of its own",
    ("airflow-scheduler", "args"): "serves logs, as no volume is shared with the api-server",
    ("airflow-scheduler", "port"): "answers for itself; there may be several",
    ("airflow-scheduler", "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"): "the same",
    ("airflow-scheduler", "AIRFLOW__CORE__HOSTNAME_CALLABLE"): "pods have no name to each other",
}
OURS = ("lander", "live", "exporter")
USERS = {"pipeline": 10001, "airflow": 50000, "connect": 1001}
"""Of our own image by its file, and of Airflow's and Debezium's by theirs."""
VERSIONS = ("1.31", "1.37")
"""Oldest and newest Kubernetes that it is validated for."""


@pytest.fixture(scope="module")
def tools():
    cache = Cache(root=StackSettings().cache_dir)
    install(cache, silent(), ["kubernetes"])
    return cache.kubernetes


def built(tools, folder):
    command = [tools / "bin" / "kubectl", "kustomize", folder]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def text(tools):
    return built(tools, FOLDER)


@pytest.fixture(scope="module")
def objects(text):
    return by_name(text)


def by_name(text):
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


def workloads(objects):
    return {name: one for (kind, name), one in objects.items() if kind in ("Deployment", "Job")}


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def container_of(workload):
    (found,) = pod_of(workload)["containers"]
    return found


def container_of_pod(template):
    (found,) = template["spec"]["containers"]
    return found


def settings_of(objects):
    (found,) = [one for (kind, _), one in objects.items() if kind == "ConfigMap"]
    return found


def is_valid(tools, text, tmp_path, version):
    file = tmp_path / "objects.yaml"
    file.write_text(text)
    command = [sys.executable, "-P", "-m", "kubernetes_validate", "--strict"]
    env = {**os.environ, "PYTHONPATH": str(tools)}
    result = subprocess.run(
        [*command, "--kubernetes-version", version, file],
        check=False, capture_output=True, text=True, env=env,
    )  # fmt: skip
    return result.returncode == 0


# The same as Compose.


def filled(text):
    """A scalar of Compose with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def port_asked(check):
    found = re.search(r"127\.0\.0\.1[:/](\d+)", " ".join(check["test"]))
    return int(found[1]) if found else None


def of_compose(service):
    """What a container is, as flat names and values."""
    asked = service.get("healthcheck", {"test": []})
    seconds = service.get("stop_grace_period", "s")[:-1]
    memory = filled(service["mem_limit"])
    return {
        "image": filled(service["image"]),
        "command": [filled(word).replace("=' ", "='") for word in service.get("entrypoint", ())],
        "args": service.get("command", []),
        "passwords": sorted(service.get("secrets", ())),
        "memory": {"m": f"{memory[:-1]}Mi", "g": f"{memory[:-1]}Gi"}[memory[-1]],
        "seconds to stop": int(seconds) if seconds else None,
        "port": port_asked(asked),
        **{
            name: filled(value)
            for name, value in service["environment"].items()
            if value is not None
        },
    }


def of_kubernetes(workload, settings):
    container, pod = container_of(workload), pod_of(workload)
    probe = container.get("readinessProbe", container.get("livenessProbe", {}))
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    return {
        "image": container["image"],
        "command": container.get("command", []),
        "args": container.get("args", []),
        "passwords": sorted(path for _, path in passwords_of(pod, "passwords")),
        "memory": container["resources"]["limits"]["memory"],
        "seconds to stop": pod.get("terminationGracePeriodSeconds"),
        "port": ports.get(probe.get("httpGet", {}).get("port")),
        **(settings["data"] if "envFrom" in container else {}),
        **variables_of(container, settings),
    }


def variables_of(container, settings):
    found = {}
    for variable in container.get("env", ()):
        given = variable.get("valueFrom", {})
        value = variable.get("value", str(given))
        if "configMapKeyRef" in given:
            assert given["configMapKeyRef"]["name"] == settings["metadata"]["name"]
            value = settings["data"][given["configMapKeyRef"]["key"]]
        value = re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], value)
        found[variable["name"]] = value
    return {name: value for name, value in found.items() if not name.startswith("BROKER_")}


def passwords_of(pod, secret):
    (volume,) = [one for one in pod["volumes"] if one["name"] == "passwords"]
    for source in volume["projected"].get("sources", ()):
        if source["secret"]["name"] == secret:
            yield from ((item["key"], item["path"]) for item in source["secret"]["items"])


def differences(objects):
    """Every way in which the programs are others than those of Compose, in a line each."""
    found, settings = workloads(objects), settings_of(objects)
    wanted = COMPOSE.keys() - GIVEN - COMMANDS
    yield from (f"{name}: only in one of them" for name in found.keys() ^ wanted)
    for name in found.keys() & wanted:
        here, there = of_kubernetes(found[name], settings), of_compose(COMPOSE[name])
        for what in here.keys() | there.keys():
            is_known = (name, what) in DIFFERENT
            if (here.get(what) == there.get(what)) == is_known:
                yield f"{name}: {what}: {here.get(what)!r}, in Compose {there.get(what)!r}"


def test_each_program_is_what_it_is_in_compose(objects):
    assert list(differences(objects)) == []


def pod(objects):
    return pod_of(objects["Deployment", "lander"])


def container(objects):
    return container_of(objects["Deployment", "lander"])


def passwords(objects):
    (volume,) = [one for one in pod(objects)["volumes"] if one["name"] == "passwords"]
    return volume["projected"]["sources"][0]["secret"]["items"]


PLANTED = {
    "a setting": lambda found: settings_of(found)["data"].update(CONNECT_PORT="8084"),
    "one that is missing": lambda found: settings_of(found)["data"].pop("CONTRACTS_DIR"),
    "one of its own": lambda found: container(found).update(env=[{"name": "X", "value": "1"}]),
    "no settings": lambda found: container(found).pop("envFrom"),
    "a port": lambda found: container(found)["ports"][0].update(containerPort=9109),
    "an image": lambda found: container(found).update(image="shop-pipeline:0.2.0"),
    "an argument": lambda found: container(found)["args"].append("--accept-loss"),
    "a command": lambda found: container(found).pop("command"),
    "memory": lambda found: container(found)["resources"]["limits"].update(memory="1Gi"),
    "time to stop": lambda found: pod(found).pop("terminationGracePeriodSeconds"),
    "a password more": lambda found: passwords(found).append({"key": "X", "path": "minio_admin"}),
    "a password less": lambda found: passwords(found).clear(),
    "a program that is missing": lambda found: found.pop(("Deployment", "live")),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_difference_is_found(objects, what):
    found = copy.deepcopy(objects)
    PLANTED[what](found)
    assert len(list(differences(found))) >= 1


def test_keys_of_the_secret_are_the_variables_of_env_init(objects):
    for workload in workloads(objects).values():
        given = list(passwords_of(pod_of(workload), "passwords"))
        assert given == [(variable_of(role), role) for _, role in given]
        keys = {name for _, name in passwords_of(pod_of(workload), "store-keys")}
        users = {role for _, role in given if role.startswith("minio_")} - {"minio_admin"}
        assert keys == {name for name in GIVEN_KEYS if name.rsplit("_", 2)[0] in users}


def test_ports_are_those_of_the_settings_and_of_the_services(objects):
    metrics, data = MonitoringSettings(), settings_of(objects)["data"]
    for name, port in (*((name, metrics.metrics_port(name)) for name in OURS), ("connect", 9404)):
        pod = objects["Deployment", name]["spec"]["template"]
        assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(port)
        ports = {one["name"]: one["containerPort"] for one in container_of_pod(pod)["ports"]}
        assert ports["metrics"] == port
    services = [one for (kind, _), one in objects.items() if kind == "Service"]
    assert services
    for service in services:
        name = service["metadata"]["name"]
        (port,) = service["spec"]["ports"]
        assert data[f"{name.upper()}_HOST"] == name
        assert data[f"{name.upper()}_PORT"] == str(port["port"])
        assert port["port"] in [one["containerPort"] for one in
                                container_of(objects["Deployment", name])["ports"]]  # fmt: skip


# What the API takes, and what it is allowed to do.


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(tools, text, tmp_path, version):
    assert is_valid(tools, text, tmp_path, version)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("enableServiceLinks", "enableServiceLink"), ("replicas: 2", "replicas: two")],
)
def test_an_object_that_is_not_valid_is_found(tools, text, tmp_path, right, wrong):
    assert right in text
    assert not is_valid(tools, text.replace(right, wrong), tmp_path, VERSIONS[-1])


def test_no_pod_has_more_rights_than_it_needs(objects):
    """As the Pod Security Standard "restricted" has it, which the namespace asks for."""
    labels = objects["Namespace", "shop"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, workload in workloads(objects).items():
        pod, container = pod_of(workload), container_of(workload)
        assert pod["automountServiceAccountToken"] is False, name
        # Otherwise KAFKA_PORT=tcp://…, as of a Service named kafka, would be taken for a setting.
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] >= 1000, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }, name
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}, name
        kinds = {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}}
        assert kinds <= {"configMap", "emptyDir", "projected", "secret"}, name
        mounted = {one["name"] for one in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}, name
        assert container["resources"].keys() == {"requests", "limits"}, name


def test_users_are_those_of_the_images(objects):
    for name, workload in workloads(objects).items():
        image = container_of(workload)["image"].removeprefix("shop-").partition(":")[0]
        user = pod_of(workload)["securityContext"]["runAsUser"]
        assert user == USERS[image], name
        if image in ("pipeline", "airflow"):
            text = (ROOT / "docker" / image / "Dockerfile").read_text()
            assert image != "pipeline" or f"--uid {user} " in text
            data = re.search(r"STACK_DATA_DIR=(\S+)", text)[1]
            secrets = re.search(r"STACK_SECRETS_FILE=(\S+)", text)[1]
            paths = [one["mountPath"] for one in container_of(workload)["volumeMounts"]]
            assert {data, secrets, "/tmp"} <= set(paths)  # noqa: S108


def test_what_stops_for_a_person_is_not_restarted_by_a_probe(objects):
    for name in ("lander", "live"):
        container = container_of(objects["Deployment", name])
        assert not container.keys() & {"livenessProbe", "startupProbe"}
        assert "keep.sh" in container["command"][-1]
        assert container["readinessProbe"]["httpGet"]["port"] == "metrics"


def test_no_probe_asks_another_program(objects):
    """Otherwise a healthy one would be killed while the other is away."""
    for name, workload in workloads(objects).items():
        container = container_of(workload)
        for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
            probe = container.get(kind, {})
            assert "exec" not in probe, name
            assert not probe.get("httpGet", {}).keys() & {"host"}, name


def test_several_pods_are_spread_and_at_most_one_at_a_time_is_taken_away(objects):
    several = {name for (kind, name), one in objects.items()
               if kind == "Deployment" and one["spec"].get("replicas", 1) > 1}  # fmt: skip
    assert several == {"airflow-scheduler", "connect", "lander", "live"}
    budgets = {name: one for (kind, name), one in objects.items() if kind == "PodDisruptionBudget"}
    assert budgets.keys() == several
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        labels = objects["Deployment", name]["spec"]["template"]["metadata"]["labels"]
        (spread,) = pod_of(objects["Deployment", name])["topologySpreadConstraints"]
        assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
        assert set(spread["matchLabelKeys"]) <= labels.keys()
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_only_metrics_can_be_reached_from_outside(objects):
    policy = objects["NetworkPolicy", "inside"]["spec"]
    for name, workload in workloads(objects).items():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items(), name
    opened = [rule["ports"] for rule in policy["ingress"] if "from" not in rule]
    assert opened == [[{"port": "metrics"}]]


def test_set_up_has_a_label_by_which_it_is_applied_first(objects):
    first = {key for key, one in objects.items() if one["metadata"]["labels"].get("stage")}
    jobs = {key for key in objects if key[0] == "Job"}
    configuration = {key for key in objects if key[0] in ("ConfigMap", "Namespace")}
    assert first == {
        *jobs, *configuration, ("NetworkPolicy", "inside"),
        *((kind, "connect") for kind in ("Deployment", "Service", "PodDisruptionBudget")),
    }  # fmt: skip


def test_set_up_is_there_and_has_its_logs_while_it_is_waited_for(objects):
    document = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
    (minutes,) = re.findall(r"kubectl wait .* job .*--timeout=(\d+)m", document)
    for (kind, name), one in objects.items():
        if kind == "Job":
            assert one["spec"]["ttlSecondsAfterFinished"] > 2 * int(minutes) * 60, name
            assert pod_of(one)["restartPolicy"] == "Never", name


def test_folder_that_the_documents_show_sets_addresses_images_and_replicas(tools, tmp_path):
    (block,) = [
        one for one in Document(ROOT / "docs" / "DEPLOYMENT.md").blocks
        if "kind: Kustomization" in one.text
    ]  # fmt: skip
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    own = tmp_path / "my-shop"
    own.mkdir()
    (own / "kustomization.yaml").write_text(block.text)
    shown, text = yaml.safe_load(block.text), built(tools, own)
    objects = by_name(text)
    assert is_valid(tools, text, tmp_path, VERSIONS[-1])
    for literal in shown["configMapGenerator"][0]["literals"]:
        name, value = literal.split("=", 1)
        assert settings_of(objects)["data"][name] == value
    for workload in workloads(objects).values():
        for source in container_of(workload).get("envFrom", ()):
            assert source["configMapRef"]["name"] == settings_of(objects)["metadata"]["name"]
    images = {container_of(one)["image"] for one in workloads(objects).values()}
    assert images == {f"{one['newName']}:{one['newTag']}" for one in shown["images"]}
    for one in shown["replicas"]:
        assert objects["Deployment", one["name"]]["spec"]["replicas"] == one["count"]
