"""Jobs as Spark distributes them, without Spark: what they write, and what they commit."""

import contextlib
import importlib
import io
import pickle
import platform
import socket
import sys
import tempfile
import traceback
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from unittest.mock import MagicMock

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from batch import child, pipeline_run
from batch.pipeline_run import PipelineRun
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import chosen_entities, consolidate_silver
from batch.silver.sizes import BatchLimits
from batch.spark import driver, files
from batch.spark.cluster import Cluster
from batch.spark.driver import explained, on_worker
from batch.spark.files import Place, replace_files
from batch.spark.job import FOR_CALLER, Part
from batch.spark.worker import (
    PARTS,
    fingerprint,
    map_batches,
    map_tasks,
    reduce_shard,
    reduce_table,
    require_same,
)
from lakehouse.delta import open_or_create, scan, table_properties
from lakehouse.environment import environment_of, process_environment
from lakehouse.errors import AwayError, RetryLaterError, StopPipelineError
from lakehouse.settings import SparkSettings
from tests.unit.bronze_maker import RULES, customers, new_lake, order_lines, rows_of
from tests.unit.clusters import Gone, Here
from tests.unit.test_silver_tables import TABLES, happen, steps

SCHEMA = pa.schema([("id", pa.int64()), ("month", pa.string())])
LOST = OSError("Generic S3 error: the response was lost")
LACKS = ModuleNotFoundError("No module named 'batch'")
STOPS = StopPipelineError("orders lacks status in 3 changes", "Was it removed?")
FEW = replace(RULES, batch=BatchLimits(records=4))
ONE = replace(RULES, batch=BatchLimits(records=1))
CUSTOMERS = chosen_entities(["customers"])


def rebuild(lake, **options):
    (report,) = rebuild_silver(lake, options.pop("rules", FEW), CUSTOMERS, **options)
    return replace(report, seconds=0)


def contents(lake):
    return {name: rows_of(lake, name) for name in (*TABLES,)}


def counted(lake):
    rows = rows_of(lake, "rule_counts")
    return sorted((one["outcome"], one["rule"], one["changes"]) for one in rows)


@settings(max_examples=max(2, settings.default.max_examples // 25))
@given(script=steps, seed=st.integers(0, 99))
def test_a_distributed_rebuild_equals_that_of_one_machine(script, seed):
    with tempfile.TemporaryDirectory() as folder:
        lakes = [new_lake(Path(folder) / name) for name in ("here", "spark")]
        for lake in lakes:
            happen(customers(lake), script).land()
        reports = [
            rebuild(lake, cluster=one) for lake, one in zip(lakes, (None, Here(seed)), strict=True)
        ]
        assert reports[0] == reports[1]
        assert contents(lakes[0]) == contents(lakes[1])
        assert counted(lakes[0]) == counted(lakes[1])


def test_a_rebuild_on_a_cluster_that_fails_changes_nothing(tmp_path):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1), (1, "bad mail", 2)]).land()
    consolidate_silver(lake, RULES, chosen_entities(["customers"]))
    before = {name: DeltaTable(lake.uri("silver", name)).version() for name in TABLES}

    with pytest.raises(RetryLaterError, match="gone"):
        rebuild(lake, rules=ONE, cluster=Gone())
    assert before == {name: DeltaTable(lake.uri("silver", name)).version() for name in TABLES}


def test_a_table_of_a_single_batch_is_rebuilt_here(tmp_path):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1), (2, "bad mail", 2)]).land()
    assert rebuild(lake, rules=RULES, cluster=Gone()).read == 2


def test_a_first_load_that_failed_on_a_cluster_is_tried_there_again(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1), (1, "bad mail", 2)]).land()
    run = PipelineRun(lake=lake, rules=ONE, limit=None, warehouse="", cluster=Gone())
    for tries in (1, 2):
        with pytest.raises(RetryLaterError, match="gone"):
            run.silver(["customers"])
        assert run.cluster.jobs == tries
    replace(run, cluster=Here()).silver(["customers"])
    before = contents(lake)
    assert before["enriched_users"]
    happen(source, [(1, "name", 3)]).land()
    run.silver(["customers"])  # what is new is for this machine
    assert run.cluster.jobs == 2
    assert contents(lake) != before


@pytest.fixture
def table(tmp_path):
    properties = table_properties(retention_hours=168, has_change_feed=True)
    return open_or_create(
        str(tmp_path / "table"), {}, SCHEMA, partition_by=["month"], properties=properties
    )


def written(table, *rows):
    found = pa.table({"id": [n for n, _ in rows], "month": [m for _, m in rows]}, schema=SCHEMA)
    return Place.of(table, {}).write(found)


def ids(table):
    table.update_incremental()
    return sorted(scan(table).select("id").collect()["id"])


def test_files_have_statistics_and_are_invisible_until_they_are_committed(table):
    added = written(table, (1, "2026-01"), (5, "2026-01"), (9, None))
    assert ids(table) == []
    replace_files(table, added, SCHEMA, watermarks={"bronze": 7})
    assert ids(table) == [1, 5, 9]
    assert table.transaction_version("bronze") == 7
    bounds = pl.DataFrame(pa.table(table.get_add_actions(flatten=True)))
    assert sorted(bounds.select("min.id", "max.id").rows()) == [(1, 5), (9, 9)]


class Meanwhile(Here):
    """A cluster on which something happens after its job."""

    def __init__(self, happens):
        super().__init__()
        self.happens = happens

    def run(self, job):
        found = super().run(job)
        self.happens()
        return found


def test_tables_that_are_loaded_at_the_same_time_share_the_quarantine(tmp_path):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1), (1, "bad mail", 2)]).land()
    order_lines(lake, topic_id="lines").change(1, "c", unit_price_amount="-1").land()

    def load_lines():
        consolidate_silver(lake, RULES, chosen_entities(["order_lines"]))

    run = PipelineRun(lake=lake, rules=ONE, limit=None, warehouse="", cluster=Meanwhile(load_lines))
    run.silver(["customers"])
    assert run.cluster.jobs == 1
    assert {one["entity"] for one in rows_of(lake, "quarantine")} == {"customers", "order_lines"}


def test_a_first_load_of_one_batch_is_no_rebuild(tmp_path, monkeypatch):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1), (1, "bad mail", 2)]).land()
    monkeypatch.setattr(pipeline_run, "rebuild_silver", None)
    run = PipelineRun(lake=lake, rules=RULES, limit=None, warehouse="", cluster=Gone())
    (report,) = run.silver(["customers"])
    assert (report.read, run.cluster.jobs) == (2, 0)


def test_one_partition_is_replaced_and_the_change_feed_tells_it(table):
    replace_files(table, written(table, (1, "a"), (2, "b")), SCHEMA, watermarks={})
    table.update_incremental()
    replace_files(table, written(table, (3, "a")), SCHEMA, partition=("month", "a"), watermarks={})
    assert ids(table) == [2, 3]
    feed = pl.DataFrame(table.load_cdf(starting_version=2).read_all())
    assert sorted(feed.select("_change_type", "id").rows()) == [("delete", 1), ("insert", 3)]


class Unsure:
    """A table whose first commit is answered by an error, after or before it was made."""

    def __init__(self, table, is_made):
        self.table, self.is_made, self.tries = table, is_made, 0

    def __getattr__(self, name):
        return getattr(self.table, name)

    def create_write_transaction(self, *args, **options):
        self.tries += 1
        if self.tries > 1 or self.is_made:
            self.table.create_write_transaction(*args, **options)
        if self.tries == 1:
            raise LOST


def no_wait(_tries, error):
    if isinstance(error, RetryLaterError):
        raise error


@pytest.mark.parametrize("is_made", [True, False])
def test_an_unknown_commit_is_searched_for_and_made_once(table, is_made, monkeypatch):
    monkeypatch.setattr(files, "a_few_times", lambda _uri: no_wait)
    unsure = Unsure(table, is_made)
    replace_files(unsure, written(table, (1, "a")), SCHEMA, watermarks={})
    assert ids(table) == [1]
    assert table.version() == 1
    assert unsure.tries == 2 - is_made


@pytest.mark.parametrize("is_made", [True, False])
@pytest.mark.parametrize("partition", [None, ("month", "a")])
def test_an_unknown_commit_without_files_is_searched_for(table, is_made, partition, monkeypatch):
    monkeypatch.setattr(files, "a_few_times", lambda _uri: no_wait)
    there = written(table, (1, "a"), *([(2, "b")] if partition else []))
    replace_files(table, there, SCHEMA, watermarks={"bronze": 1})
    table.update_incremental()
    unsure = Unsure(table, is_made)
    replace_files(unsure, [], SCHEMA, partition=partition, watermarks={"bronze": 2})
    assert ids(table) == ([2] if partition else [])
    assert table.transaction_version("bronze") == 2
    assert unsure.tries == 2 - is_made


@pytest.mark.parametrize("bronze", [1, 2])
def test_a_commit_of_another_program_is_not_taken_for_one_without_files(table, bronze, monkeypatch):
    monkeypatch.setattr(files, "a_few_times", lambda _uri: no_wait)
    replace_files(table, written(table, (1, "a")), SCHEMA, watermarks={"bronze": 1})
    table.update_incremental()
    other = DeltaTable(table.table_uri)
    rows = written(table, (2, "a")) if bronze == 2 else []
    replace_files(other, rows, SCHEMA, watermarks={"bronze": bronze})
    with pytest.raises(RetryLaterError, match="was changed by another program"):
        replace_files(table, [], SCHEMA, watermarks={"bronze": 2})


@pytest.mark.parametrize("rows", [(), ((3, "a"),)])
def test_commits_to_other_partitions_meanwhile_do_no_harm(table, rows, monkeypatch):
    monkeypatch.setattr(files, "a_few_times", lambda _uri: no_wait)
    replace_files(table, written(table, (1, "a"), (2, "b")), SCHEMA, watermarks={})
    table.update_incremental()
    added = written(table, *rows)
    other = DeltaTable(table.table_uri)
    mine = ("month", "b")
    replace_files(other, written(table, (4, "b")), SCHEMA, partition=mine, watermarks={"other": 1})
    replace_files(table, added, SCHEMA, partition=("month", "a"), watermarks={"bronze": 1})
    assert ids(table) == [*(one for one, _ in rows), 4]
    assert [table.transaction_version(one) for one in ("bronze", "other")] == [1, 1]


def test_rows_of_another_program_are_not_replaced(table, monkeypatch):
    monkeypatch.setattr(files, "a_few_times", lambda _uri: no_wait)
    added = written(table, (1, "a"))
    other = DeltaTable(table.table_uri)
    replace_files(other, written(table, (2, "b")), SCHEMA, watermarks={})
    with pytest.raises(RetryLaterError, match="was changed by another program"):
        replace_files(table, added, SCHEMA, watermarks={})
    assert ids(table) == [2]


def test_a_worker_with_other_code_is_refused():
    require_same(fingerprint())
    with pytest.raises(StopPipelineError, match="has another version of this project"):
        require_same("another")


def test_a_worker_without_the_project_gives_one_clear_error(monkeypatch):
    run = on_worker("map_tasks", fingerprint(), b"")

    def lacks(name, *_):
        raise LACKS

    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", lacks)
        with pytest.raises(RuntimeError) as caught:
            run([])
    error = explained(RuntimeError(f"PythonException: {caught.value}"))
    assert isinstance(error, StopPipelineError)
    assert "cannot run this project: No module named 'batch'" in str(error)
    assert "PYSPARK_PYTHON" in str(error)


class Echo:
    """A job whose tasks have a file for each of two shards, which tell what they were given."""

    def map(self, task):
        for shard in (0, FOR_CALLER):
            yield Part(shard=shard, name=f"{task}", content=bytes([task]))

    def reduce(self, shard, parts):
        return pickle.dumps((shard, [(part.name, part.content) for part in parts]))


def test_tables_of_spark_connect_hold_what_objects_do():
    content = pickle.dumps(Echo())
    objects = [one for one in map_tasks(content, [1, 2]) if one[0] == FOR_CALLER]
    batches = map_batches(content, [pa.record_batch({"id": [1, 2]})])
    rows = pa.Table.from_batches(batches).filter(pc.field("shard") == FOR_CALLER)
    told = [reduce_table(content, rows)["content"][0].as_py(), *reduce_shard(content, objects)]
    wanted = (FOR_CALLER, [("1", b"\x01"), ("2", b"\x02")])
    assert [pickle.loads(one) for one in told] == [wanted, wanted]  # noqa: S301
    assert list(reduce_shard(content, [])) == []


class Stops:
    """A job whose first task yields a file before its contract says to stop."""

    def map(self, _task):
        yield Part(shard=0, name="a", content=b"")
        raise STOPS

    def reduce(self, _shard, _parts):
        raise STOPS


FILES = pa.table({"shard": [0], "name": ["a"], "content": [b""]}, schema=PARTS)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        ("map_tasks", [0]),
        ("reduce_shard", [(0, ("a", b""))]),
        ("map_batches", [pa.record_batch({"id": [0]})]),
        ("reduce_table", FILES),
    ],
)
def test_a_job_that_stops_while_spark_reads_its_batches_says_where_and_why(function, given):
    run = on_worker(function, fingerprint(), pickle.dumps(Stops()))
    with pytest.raises(RuntimeError) as caught:
        list(run(given))
    error = explained(RuntimeError(f"PythonException: {caught.value}"))
    assert isinstance(error, StopPipelineError)
    assert str(error).endswith(f"{platform.node()}: {STOPS}")


def test_a_contract_that_stops_on_a_worker_stops_the_command():
    told = b64encode(pickle.dumps(("Spark worker on a", STOPS))).decode()
    error = explained(RuntimeError(f"…\nRuntimeError: shop-pipeline-error:{told}."))
    assert isinstance(error, StopPipelineError)
    assert str(error) == "Spark worker on a: orders lacks status in 3 changes. Was it removed?"


def test_other_errors_of_spark_are_told_in_one_line():
    error = explained(
        RuntimeError("Job aborted\n  at org.apache\njava.lang.OutOfMemoryError: heap")
    )
    assert str(error) == "Spark failed: java.lang.OutOfMemoryError: heap"
    assert "Spark failed: ValueError: b" in str(explained(RuntimeError("Error: a\nValueError: b")))
    assert "Spark failed: no master" in str(explained(RuntimeError("no master\n  at java.x")))


@pytest.mark.parametrize(
    "told",
    [
        "Traceback:\npyarrow.lib.ArrowMemoryError: malloc of size 64 failed",
        "MemoryError",
        "SparkException: Python worker exited unexpectedly (crashed)\nMemoryError",
    ],
)
def test_a_worker_without_memory_says_what_bounds_it(told):
    error = explained(RuntimeError(f"Job aborted\n{told}\n  at org.apache"))
    assert isinstance(error, StopPipelineError)
    assert str(error).startswith(f"A Spark worker has too little memory: {told.splitlines()[-1]}")
    assert "CONSOLIDATION_CHUNK_ROWS" in str(error)


def test_a_worker_that_crashed_may_do_better_the_next_time():
    """Of a segfault or a killed machine, Spark says what it says of one without memory."""
    told = "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)"
    error = explained(RuntimeError(f"Job aborted\n{told}\n  at org.apache"))
    assert isinstance(error, RetryLaterError)
    assert str(error).startswith(f"A Spark worker crashed, perhaps for lack of memory: {told}. If")
    assert "CONSOLIDATION_CHUNK_ROWS" in str(error)


def test_a_worker_without_memory_for_the_project_is_not_said_to_lack_it(monkeypatch):
    run = on_worker("map_tasks", fingerprint(), b"")

    def lacks(_name):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", lacks)
        with pytest.raises(MemoryError) as caught:
            run([])
    told = "".join(traceback.format_exception(caught.value))
    assert "has too little memory: MemoryError" in str(explained(RuntimeError(told)))


def test_a_library_that_a_worker_has_no_memory_for_is_not_told_as_missing():
    lacks = ImportError("polars.abi3.so: failed to map segment from shared object")
    told = b64encode(pickle.dumps(("Spark worker on a", lacks))).decode()
    error = explained(RuntimeError(f"shop-pipeline-error:{told}."))
    assert str(error).startswith("A Spark worker has too little memory: Spark worker on a: polars")


def test_a_master_that_does_not_answer_is_told_at_once():
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        master = f"spark://127.0.0.1:{one.getsockname()[1]}"
    with pytest.raises(AwayError, match="Spark's master does not answer"):
        Cluster(settings=SparkSettings(master=master), programs={}).run(None)


def driven(tmp_path, *lines):
    """A cluster whose driver is a script, which notes that it starts."""
    script = tmp_path / "python"
    script.write_text("\n".join(("#!/bin/sh", f"echo started >> {tmp_path}/starts", *lines)))
    script.chmod(0o755)
    settings = SparkSettings(remote="sc://127.0.0.1:1")
    return Cluster(settings=settings, programs={"PYSPARK_DRIVER_PYTHON": str(script)})


def starts(tmp_path):
    return len((tmp_path / "starts").read_text().splitlines())


def kept(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def test_all_jobs_of_a_block_have_one_driver_which_ends_with_it(tmp_path):
    first = kept(tmp_path / "first", [pickle.dumps([1]), pickle.dumps([2])])
    second = kept(tmp_path / "second", [])
    # The last it is told is that there is no more: it ends by itself.
    told = driven(tmp_path, f"cat {first} {second}", f"cat > {tmp_path}/sent")
    with told as cluster:
        assert cluster.run(["a job"]) == [[1], [2]]
        assert cluster.run(["another"]) == []
    assert starts(tmp_path) == 1
    with (tmp_path / "sent").open("rb") as sent:
        jobs = [pickle.load(sent) for _ in range(3)]  # noqa: S301
    assert [job and pickle.loads(job) for job in jobs] == [["a job"], ["another"], None]  # noqa: S301
    with told as cluster:
        cluster.run(["a third"])
    assert starts(tmp_path) == 2


def test_an_error_of_the_driver_is_that_of_the_job_and_the_next_one_has_a_new_driver(tmp_path):
    error = kept(tmp_path / "error", StopPipelineError("orders lacks status", "Correct it."))
    told = driven(tmp_path, f"exec cat {error} -")
    for _ in range(2):
        with pytest.raises(StopPipelineError, match=r"^orders lacks status\. Correct it\.$"):
            told.run(["a job"])
    assert starts(tmp_path) == 2


def test_a_failure_of_spark_is_told_with_the_end_of_its_log(tmp_path):
    error = kept(tmp_path / "error", explained(RuntimeError("java.lang.Error: a")))
    told = driven(tmp_path, "printf 'lost b\\n\\tat java.x\\nlost c\\n' >&2", f"exec cat {error} -")
    expected = r"^Spark failed: java\.lang\.Error: a\. Its log ends with: lost b / lost c$"
    with pytest.raises(RetryLaterError, match=expected):
        told.run(["a job"])


def test_a_driver_without_spark_or_that_does_not_start_stops_the_command(tmp_path):
    error = explained(LACKS)
    assert isinstance(error, StopPipelineError)
    assert "PYSPARK_DRIVER_PYTHON" in str(error)
    cluster = driven(tmp_path)
    cluster.programs["PYSPARK_DRIVER_PYTHON"] = str(tmp_path / "none")
    with pytest.raises(StopPipelineError, match=r"Spark's driver cannot run: .*No such file"):
        cluster.run(["a job"])


def test_the_cluster_of_a_task_is_that_of_its_environment():
    with environment_of({**process_environment(), "BATCH_ENGINE": "spark"}):
        found = Cluster.of_settings()
    assert found.programs == {}
    with environment_of({**process_environment(), "BATCH_ENGINE": "local"}):
        assert Cluster.of_settings() is None


def test_a_task_of_airflow_ends_its_driver_whether_it_succeeds_or_fails(tmp_path, monkeypatch):
    run = PipelineRun(lake=None, rules=ONE, limit=None, warehouse="")
    monkeypatch.setattr(
        PipelineRun, "of_settings", lambda _, cluster: replace(run, cluster=cluster)
    )
    cluster = driven(tmp_path, f"cat {kept(tmp_path / 'none', [])}", f"cat > {tmp_path}/sent")
    monkeypatch.setattr(Cluster, "of_settings", lambda: cluster)
    for ends in (contextlib.nullcontext(), pytest.raises(RetryLaterError)):
        with ends as error, PipelineRun.of_task(print) as steps:
            steps.cluster.run(["a job"])
            if error:
                raise RetryLaterError
        assert cluster._driver is None
        with (tmp_path / "sent").open("rb") as sent:
            assert [pickle.load(sent) for _ in range(2)][-1] is None  # noqa: S301
    monkeypatch.setattr(Cluster, "of_settings", lambda: None)
    with PipelineRun.of_task(print) as steps:
        assert steps.cluster is None


@pytest.mark.parametrize("remote", [{}, {"SPARK_REMOTE": ""}, {"SPARK_REMOTE": "sc://127.0.0.1:1"}])
def test_the_driver_runs_job_after_job_and_frees_the_cluster_at_the_end(monkeypatch, remote):
    jobs = [pickle.dumps(SimpleNamespace(tasks=n, shards=1)) for n in (1, 2)]
    given = io.BytesIO(b"".join(pickle.dumps(job) for job in (*jobs, None)))
    is_remote = any(remote.values())
    # With `pyspark-client` there is no more.
    core, spark = MagicMock(spec=[] if is_remote else ["SparkContext"]), MagicMock()
    monkeypatch.setitem(sys.modules, "pyspark", core)
    monkeypatch.setitem(sys.modules, "pyspark.sql", spark)
    monkeypatch.setattr(driver, "run", lambda job, *_: [job])
    told = io.BytesIO()
    with environment_of(remote):
        driver.run_jobs(given, told)
    told.seek(0)
    assert [pickle.load(told) for _ in jobs] == [[job] for job in jobs]  # noqa: S301
    stopped = spark.SparkSession.builder if is_remote else core.SparkContext
    assert stopped.getOrCreate().stop.call_count == 1


def test_the_driver_ends_if_the_caller_does(monkeypatch):
    ended = []
    monkeypatch.setattr(child.os, "_exit", ended.append)
    child.receive(SimpleQueue(), io.BytesIO())
    assert ended == [1]


def test_a_driver_that_is_killed_is_told_with_its_last_words(tmp_path):
    with pytest.raises(RetryLaterError, match="ended with status -9: no memory"):
        driven(tmp_path, "echo no memory >&2", "kill -9 $$").run(["a job"])


def test_one_of_several_masters_has_to_answer():
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
        settings = SparkSettings(master=f"spark://127.0.0.1:1,localhost:{port}")
        Cluster(settings=settings, programs={})._require_master()
    with pytest.raises(AwayError, match="does not answer"):
        Cluster(settings=settings, programs={})._require_master()


@pytest.mark.parametrize(
    ("master", "is_here"),
    [
        ("local[2]", True),
        ("spark://localhost", True),
        ("spark://127.0.0.1:7077,[::1]:7078", True),
        ("spark://127.0.0.1:7077,b.example:7077", False),
        ("spark://a.example:70x7", False),
        ("k8s://https://a.example:6443", False),
        ("yarn", False),
    ],
)
def test_the_driver_listens_on_loopback_alone_where_its_master_is_here(master, is_here):
    with environment_of({}):
        found = Cluster(settings=SparkSettings(master=master), programs={})._environment
    assert found == {"MASTER": master, **({"SPARK_LOCAL_IP": "127.0.0.1"} if is_here else {})}


def test_an_address_that_is_given_to_the_driver_stays():
    with environment_of({"SPARK_LOCAL_IP": "10.0.0.1", "MASTER": "yarn"}):
        local = Cluster(settings=SparkSettings(master="local[2]"), programs={})
        assert local._environment == {"SPARK_LOCAL_IP": "10.0.0.1", "MASTER": "local[2]"}
        connected = Cluster(settings=SparkSettings(remote="sc://a.example"), programs={"A": "b"})
        assert connected._environment["SPARK_REMOTE"] == "sc://a.example"
        assert connected._environment["A"] == "b"
