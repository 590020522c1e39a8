"""The lake on another object store than MinIO: SeaweedFS, started by its own `up`.

The shop, Kafka and the warehouse are those of all files; only the store is another.
"""

import io
import json

import pytest
from minio.error import S3Error
from minio.versioningconfig import ENABLED, VersioningConfig

from consumers.bronze.conformance import require_conditional_put, require_consistent_listing
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.lake import Lake
from lakehouse.object_store import object_store
from tests.second_reader import assert_second_reader_agrees
from tests.stacks import new_stack, settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

_OF_ENTITIES = ("bronze", "silver")


@pytest.fixture(scope="module")
def shop():
    """A tenant of the shared servers whose lake is in a SeaweedFS of this file."""
    with tenant(LANDING_FLUSH_SECONDS=0.5) as others:
        others.up("oltp", "warehouse", "kafka", "connect")
        secrets = {"STACK_SECRETS_FILE": others.config.stack.secrets_path}
        prefix = {"MINIO_BUCKET_PREFIX": others.minio.bucket_prefix}
        with new_stack(STACK_STORE="seaweedfs", **secrets, **prefix) as store:
            store.up("minio")
            names = ("MINIO_PORT", "MINIO_CONSOLE_PORT")
            yield others.with_settings(**{name: store.env[name] for name in names})


def require_exact(shop):
    result = shop.run("reconcile", "--format", "json", check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return json.loads(result.stdout)


def race(store, bucket, writers):
    # Those who lose wait for each other: SeaweedFS lets them try again once a second.
    require_conditional_put(store, bucket, writers=writers, timeout_seconds=120)


def test_changes_land_consolidate_and_reconcile_exactly_on_seaweedfs(shop):
    """Through every client: minio-py, delta-rs, Polars and DuckDB."""
    shop.run("simulate", "--history", 3, "--orders", 300, "--seed", 5, "--dirt", 5)
    lander = shop.fork("land")
    try:
        shop.run("consolidate")  # whatever has landed; the rest is merged into it
        shop.run("simulate", "--orders", 40, "--orders-per-second", 40, "--dirt", 5)
        settle(shop)
        shop.run("consolidate")
        report = require_exact(shop)
    finally:
        lander.terminate()
        lander.wait()
    assert len(report["layers"]) > len(ENTITIES)
    lake = Lake.of(shop.minio, shop.secrets, user="reader")
    tables = [
        *(
            (layer, getattr(entity, layer))
            for entity in ENTITIES.values()
            for layer in _OF_ENTITIES
        ),
        *(("gold", name) for name in GOLD_TABLES),
    ]
    there = [lake.uri(*table) for table in tables if lake.open(*table) is not None]
    assert len(there) > 2 * len(ENTITIES)
    assert_second_reader_agrees(lake.options, there)


def test_of_many_writers_exactly_one_wins_on_seaweedfs(shop):
    store = object_store(shop.minio, shop.secrets, user="lander")
    for writers in (4, 16):
        race(store, shop.minio.bronze_bucket, writers)
    require_consistent_listing(store, shop.minio.bronze_bucket)


@pytest.mark.long
def test_of_32_writers_exactly_one_wins_on_seaweedfs_in_each_round(shop):
    store = object_store(shop.minio, shop.secrets, user="lander")
    for _ in range(40):
        race(store, shop.minio.bronze_bucket, 32)


def test_each_user_of_seaweedfs_may_do_what_that_of_minio_may(shop):
    minio = shop.minio
    clients = {
        user: object_store(minio, shop.secrets, user=user)
        for user in ("admin", "lander", "batch", "reader")
    }

    def put(user, bucket):
        clients[user].put_object(bucket, f"{user}/x", io.BytesIO(b"x"), 1)

    for user, bucket in (("lander", minio.bronze_bucket), ("batch", minio.gold_bucket)):
        put(user, bucket)
        assert clients["reader"].stat_object(bucket, f"{user}/x").size == 1
        clients[user].remove_object(bucket, f"{user}/x")
    versions = VersioningConfig(ENABLED)
    for refused in (
        lambda: put("lander", minio.silver_bucket),
        lambda: put("batch", minio.bronze_bucket),
        lambda: put("reader", minio.gold_bucket),
        lambda: list(clients["lander"].list_objects(minio.gold_bucket)),
        lambda: clients["lander"].remove_bucket(minio.bronze_bucket),
        lambda: clients["batch"].set_bucket_versioning(minio.gold_bucket, versions),
        lambda: clients["reader"].remove_object(minio.bronze_bucket, "x"),
    ):
        with pytest.raises(S3Error, match="AccessDenied"):
            refused()
