"""Spark in the stack: what its services run, and the Java that they run on."""

import subprocess
from contextlib import nullcontext

import pytest
from typer.testing import CliRunner

import stack.spark.install
from cli.__main__ import app
from cli.engine import Engine, spark_of
from lakehouse.environment import environment_of, process_environment
from lakehouse.errors import StopPipelineError
from lakehouse.secrets import Secrets
from stack.catalog import DEFAULT, SPARK, chosen, services
from stack.paths import Cache, Data, StackConfig
from stack.preflight import port_problems
from stack.service_user import ServiceUser
from stack.spark.install import install_spark, make_configuration, programs_of, programs_of_tasks


@pytest.fixture
def found(tmp_path):
    def of(**variables):
        place = {"STACK_DATA_DIR": str(tmp_path), "STACK_CACHE_DIR": str(tmp_path / "cache")}
        with environment_of({**process_environment(), **place, **variables}):
            return services(StackConfig(), Secrets(tmp_path / "secrets.json"), ServiceUser())

    return of


def test_spark_is_started_when_it_is_asked_for_and_listens_on_loopback(found):
    assert set(SPARK).isdisjoint(DEFAULT)
    assert set(SPARK) <= set(chosen(airflow=False, superset=False, monitoring=False, spark=True))
    master, *workers = (found(SPARK_MASTER="spark://127.0.0.1:17077")[name] for name in SPARK)
    assert master.program.command[4:6] == ("--port", "17077")
    assert master.url == "spark://127.0.0.1:17077"
    for service in (master, *workers):
        assert service.program.environment["SPARK_LOCAL_IP"] == "127.0.0.1"
        assert service.program.command[3] == "127.0.0.1"
    assert all(one.program.command[-1] == master.url for one in workers)
    assert all(one.needs == ("spark-master",) for one in workers)


def test_workers_see_the_settings_that_they_compute_and_read_by(found, tmp_path):
    given = {"CONTRACTS_DIR": str(tmp_path), "SSL_CERT_FILE": "/a/ca.pem"}
    for name in SPARK:
        environment = found(**given)[name].program.environment
        assert given.items() <= environment.items()
        assert environment["SPARK_LOCAL_IP"] == "127.0.0.1"


def test_the_secret_of_spark_is_for_its_owner_alone_and_the_same_for_all(found, tmp_path):
    file = tmp_path / "run" / "spark" / "spark-defaults.conf"
    texts = set()
    for service in map(found().get, SPARK):
        service.prepare()
        texts.add(file.read_text())
        assert service.program.environment["SPARK_CONF_DIR"] == str(file.parent)
    (text,) = texts
    assert text.startswith("spark.authenticate true\nspark.authenticate.secret ")
    assert [path.stat().st_mode & 0o077 for path in (file, file.parent)] == [0, 0]


def test_no_master_is_started_where_another_cluster_is_named(found):
    with pytest.raises(StopPipelineError, match=r"k8s://a\.example, and no standalone master"):
        found(SPARK_MASTER="k8s://a.example")["spark-master"].prepare()


def test_masters_elsewhere_are_refused_and_no_other_command_minds(found):
    master = found(SPARK_MASTER="spark://192.0.2.1:7077,192.0.2.2:7077")["spark-master"]
    (problem,) = port_problems([master])
    assert "192.0.2.1 is not a loopback address" in problem
    assert problem.action == "Unset SPARK_MASTER."
    with pytest.raises(StopPipelineError, match="and no standalone master"):
        master.prepare()


def test_java_is_asked_for_no_module_that_the_packaged_one_lacks(tmp_path, monkeypatch):
    cache = Cache(root=tmp_path)
    cache.java.parent.mkdir(parents=True)
    cache.java.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    cache.java.chmod(0o755)
    monkeypatch.setattr(stack.spark.install, "install_environment", lambda *_: None)
    install_spark(None, None, cache, cache.spark)
    java = f"{programs_of(cache)['JAVA_HOME']}/bin/java"
    options = ["-Xmx1g", "--add-modules=jdk.incubator.vector", "-Da=b c", "Main"]
    told = subprocess.run([java, *options], capture_output=True, text=True, check=True).stdout
    assert told == "-Xmx1g|-Da=b c|Main|"


def programs(engine=None):
    return spark_of(engine).programs


def test_the_engine_is_that_of_the_option_else_of_the_setting(tmp_path):
    place = {"STACK_DATA_DIR": str(tmp_path), "STACK_CACHE_DIR": str(tmp_path)}
    variables = {**process_environment(), **place, "BATCH_ENGINE": "spark"}
    with environment_of(variables):
        cache = Cache(root=StackConfig().stack.cache_dir)
        cache.spark.mkdir()
        assert isinstance(spark_of(Engine.LOCAL), nullcontext)
        assert isinstance(spark_of(None, is_used=False), nullcontext)
        assert programs() == programs_of(cache)
    make_configuration(Data(root=tmp_path))
    conf = {"SPARK_CONF_DIR": str(tmp_path / "run" / "spark")}
    with environment_of(variables):
        assert programs() == programs_of(cache) | conf
    for given in ({"SPARK_MASTER": "spark://a.example:7077"}, {"SPARK_CONF_DIR": "/a"}):
        with environment_of({**variables, **given}):
            assert programs() == programs_of(cache)
    with environment_of({**variables, "BATCH_ENGINE": "local"}):
        assert isinstance(spark_of(None), nullcontext)
        assert programs(Engine.SPARK) == programs_of(cache) | conf


def test_the_python_that_a_user_names_for_the_driver_is_the_one(tmp_path):
    place = {"STACK_DATA_DIR": str(tmp_path), "STACK_CACHE_DIR": str(tmp_path)}
    named = {"PYSPARK_DRIVER_PYTHON": "/opt/python", "PYSPARK_PYTHON": "/opt/worker"}
    # As in Airflow's tasks: nothing is installed, either.
    with environment_of({**process_environment(), **place, **named, "BATCH_ENGINE": "spark"}):
        assert named.items() <= spark_of(None)._environment.items()


def test_spark_does_not_compute_the_warehouse():
    result = CliRunner().invoke(app, ["rebuild", "--layer", "warehouse", "--engine", "spark"])
    assert result.exit_code == 2
    assert "Spark computes silver and gold" in result.output


def test_spark_replays_silver_alone():
    arguments = ["replay", "--into", "gold", "--all", "--engine", "spark"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Spark replays silver" in result.output


def test_tasks_of_airflow_find_what_a_driver_runs_on(tmp_path):
    place = {"STACK_DATA_DIR": str(tmp_path), "STACK_CACHE_DIR": str(tmp_path)}
    with environment_of({**process_environment(), **place, "BATCH_ENGINE": "spark"}):
        config = StackConfig()
        cache = Cache(root=config.stack.cache_dir)
        assert programs_of_tasks(config, cache) == {}
        cache.spark.mkdir()
        found = programs_of_tasks(config, cache)
        assert found.items() >= programs_of(cache).items()
        assert found["SPARK_CONF_DIR"] == str(tmp_path / "run" / "spark")
    with environment_of({**process_environment(), **place, "BATCH_ENGINE": "local"}):
        assert programs_of_tasks(StackConfig(), cache) == {}
