"""The Delta adapter on the real store: what its watermarks are when others write, too."""

import uuid

import polars as pl
import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from consumers.bronze.table import DeltaBronzeTable
from devtools.test_stack import free_ports
from lakehouse.delta import trouble_of_store
from lakehouse.lake import BRONZE_SCHEMA, storage_options, table_uri
from lakehouse.object_store import put_below
from lakehouse.offsets import TopicPartition
from lakehouse.trouble import Trouble

pytestmark = pytest.mark.integration
P = TopicPartition(topic="t", topic_id="id", partition=0)
Q = TopicPartition(topic="t", topic_id="id", partition=1)


@pytest.fixture
def opened(stack):
    """Opens the same table, each time with a handle of its own."""
    uri = table_uri(stack.minio.bronze_bucket, f"raw_{uuid.uuid4().hex}")
    options = storage_options(stack.minio, stack.secrets, user="lander")
    return lambda: DeltaBronzeTable.open_or_create(uri, options, retention_hours=24)


def rows(partition, *offsets):
    found = [
        dict.fromkeys(BRONZE_SCHEMA.names)
        | {"_partition": partition.partition, "_offset": offset, "_topic_id": "id"}
        for offset in offsets
    ]
    return pa.Table.from_pylist(found, schema=BRONZE_SCHEMA)


def test_rows_and_watermark_are_read_back_together(opened):
    opened().append(rows(P, 0, 1), {P: 1})
    found = opened()
    assert found.watermark(P) == 1
    assert found.watermark(Q) is None
    assert pl.from_arrow(found.delta.to_pyarrow_table())["_offset"].sort().to_list() == [0, 1]


def test_own_commit_moves_the_watermark_of_its_handle(opened):
    mine = opened()
    assert mine.watermark(P) is None
    mine.append(rows(P, 0), {P: 0})
    assert (mine.watermark(P), mine.watermark(Q)) == (0, None)


def test_zombie_that_commits_for_a_partition_in_between_is_refused(opened):
    zombie, successor = opened(), opened()
    assert zombie.watermark(P) is None
    successor.append(rows(P, 0), {P: 0})
    with pytest.raises(CommitFailedError, match="transaction"):
        zombie.append(rows(P, 0), {P: 0})
    zombie.reopen()
    assert zombie.watermark(P) == 0


def test_handle_that_another_partition_has_moved_on_reads_its_watermarks_again(opened):
    zombie, successor = opened(), opened()
    assert zombie.watermark(P) is None
    successor.append(rows(P, 0), {P: 0})
    zombie.append(rows(Q, 0), {Q: 0})  # no conflict, and the handle is past the other's commit now
    assert zombie.watermark(P) == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another"}, Trouble.RIGHTS),
        ({"AWS_ENDPOINT_URL": None}, Trouble.AWAY),
    ],
    ids=["password", "down"],
)
def test_file_that_cannot_be_stored_says_why_as_a_commit_would(opened, stack, fault, kind):
    given = {name: text or f"http://127.0.0.1:{free_ports(1)[0]}" for name, text in fault.items()}
    options = storage_options(stack.minio, stack.secrets, user="lander") | given
    put = put_below(opened().delta.table_uri, options)
    with pytest.raises((S3Error, HTTPError)) as raised:
        put("part", pa.py_buffer(b"content"))
    assert trouble_of_store(raised.value) is kind
