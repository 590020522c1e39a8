"""Which tables a snapshot reads of partitioned ones, and what another setting begins empty."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.__main__ import app
from connectors.partitions import (
    Partitions,
    Switched,
    require_no_switch,
    snapshot_list,
    with_snapshot,
)
from lakehouse.errors import StopPipelineError, WrongArgumentError
from lakehouse.kafka import is_capturable
from lakehouse.settings import ROOT, ConnectSettings
from lakehouse.settings.servers import PUBLICATION

URL = "postgresql://boss@db.example/shop"
NAMES = st.text("aA-_0. $", min_size=1, max_size=6)
TREES = {"roots": ("days",), "leaves": ("days_1", "a.b"), "between": ("days_2",)}


def reads(config, table):
    """Whether Debezium's snapshot reads it: its list is of patterns, in any case."""
    patterns = config["snapshot.include.collection.list"].split(",")
    return any(re.fullmatch(p, f"public.{table}", re.IGNORECASE) for p in patterns)


@given(left_out=st.sets(NAMES, min_size=1), others=st.sets(NAMES))
def test_snapshot_reads_every_captured_table_but_those_left_out(left_out, others):
    config = snapshot_list(left_out)
    if not config:
        assert not any(map(is_capturable, left_out))
        return
    for table in left_out | others:
        assert reads(config, table) == (is_capturable(table) and table not in left_out), table
    assert re.fullmatch(config["snapshot.include.collection.list"].split(",")[1], "cdc.heartbeat")


def test_shop_without_partitions_has_the_configuration_that_it_had():
    assert snapshot_list([]) == {}
    known = {"a": "b"}
    read_once = {**snapshot_list(["days"]), "column.exclude.list": "x"}
    assert with_snapshot(with_snapshot(known, read_once), {}) == known


@pytest.mark.parametrize(
    ("is_via_root", "left_out"),
    [(True, ("days_2", "days_1", "a.b")), (False, ("days", "days_2")), (None, ("days", "days_2"))],
)
def test_row_is_read_with_the_table_by_whose_name_it_is_published(is_via_root, left_out):
    assert Partitions(is_via_root=is_via_root, **TREES).not_snapshotted == left_out


@pytest.mark.parametrize(
    ("was", "setting", "empty"), [(False, "root", "days would"), (True, "each", "days_1 would")]
)
def test_other_setting_than_that_of_the_publication_is_refused_with_what_begins_empty(
    was, setting, empty
):
    settings = ConnectSettings(partitions=setting)
    with pytest.raises(StopPipelineError, match=empty) as refused:
        require_no_switch(Partitions(is_via_root=was, **TREES), settings)
    assert "./pipeline connect partitions" in str(refused.value)
    nothing = dict.fromkeys(TREES, ())
    require_no_switch(Partitions(is_via_root=was, **nothing), settings)
    require_no_switch(Partitions(is_via_root=not was, **TREES), settings)
    require_no_switch(Partitions(is_via_root=None, **TREES), settings)


@pytest.mark.parametrize("file", ["shop_catalog.sql", "readers.sql"])
def test_catalog_asks_for_our_publication(file):
    assert f"p.pubname = '{PUBLICATION}'" in (ROOT / "connectors" / file).read_text()


def test_publication_of_a_shop_elsewhere_is_altered_by_its_own_administrator(monkeypatch):
    monkeypatch.setenv("OLTP_HOST", "db.example")
    asked = []

    def switch(dsn, _settings):
        asked.append(dsn)
        return Switched(begun=(), keyless=(), ended=())

    monkeypatch.setattr("connectors.partitions.switch", switch)
    command = ["connect", "partitions", "--yes"]
    refused = CliRunner().invoke(app, command).exception
    assert isinstance(refused, WrongArgumentError)
    assert "connect partitions --source postgresql://" in str(refused)
    assert asked == []
    done = CliRunner().invoke(app, [*command, "--source", URL])
    assert (done.exit_code, asked) == (0, [URL])
