"""What the doctor says of the shop, of change capture and of topics."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from batch.contracts.derive import Names, derive
from connectors.health import Health
from connectors.plain_words import HEAL
from connectors.readers import HiddenRows, Reason
from connectors.rest import ConnectorState
from lakehouse.contracts import ENTITIES
from lakehouse.errors import Problem
from lakehouse.kafka import Topic
from lakehouse.offsets import Epoch, TopicPartition
from stack.doctor.capture import diagnose_capture
from stack.doctor.offsets import End
from stack.doctor.readers import Odd, Shape, diagnose_readers
from stack.doctor.shop import (
    Publication,
    diagnose_derived,
    diagnose_publication,
    diagnose_tables,
    diagnose_truncates,
    diagnose_unmapped,
    diagnose_wal,
)
from stack.doctor.topics import (
    Lag,
    LiveTopic,
    diagnose_bronze,
    diagnose_lag,
    diagnose_live,
    diagnose_topics,
)
from stack.findings import Verdict, wrong
from tests.unit.foreign_maker import catalog_row
from tests.verdicts import only, verdicts

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TOPIC = Topic(name="shop.public.orders", topic_id="t1", partition_count=2)

WAL = {"wal_level": "logical", "max_slot_wal_keep_size": "4096",
       "max_replication_slots": "8", "max_wal_senders": "8"}  # fmt: skip


@pytest.mark.parametrize(("changed", "words"), [
    ({"wal_level": "replica"}, "wal_level is replica"),
    ({"max_slot_wal_keep_size": "-1"}, "STACK_SLOT_WAL_KEEP_MB is 4096"),
    ({"max_replication_slots": "1"}, "max_replication_slots is 1"),
])  # fmt: skip
def test_setting_that_capture_cannot_live_with_is_named(changed, words):
    assert verdicts(diagnose_wal(WAL, [], keep_mb=4096)) == [Verdict.FINE]
    assert words in only(diagnose_wal({**WAL, **changed}, [], keep_mb=4096)).words
    assert verdicts(diagnose_wal(WAL, ["wal_level"], keep_mb=4096)) == [Verdict.WRONG]


def test_limit_of_wal_of_a_shop_elsewhere_is_its_administrators():
    assert verdicts(diagnose_wal(WAL, [], keep_mb=None)) == [Verdict.FINE]
    unlimited = {**WAL, "max_slot_wal_keep_size": "-1"}
    assert verdicts(diagnose_wal(unlimited, [], keep_mb=None)) == [Verdict.NOTE]
    said = only(diagnose_wal({**WAL, "wal_level": "replica"}, [], keep_mb=None))
    assert "as its administrator" in said.remedy
    (missing,) = diagnose_publication("dbz", None, prepare="./pipeline source check URL --apply")
    assert "source check URL --apply; then ./pipeline extract --full" in missing.remedy
    (missing,) = diagnose_publication("dbz", None, is_stuck=True)
    assert "connect apply --accept-loss" in missing.remedy


@pytest.mark.parametrize("changed", [
    {"has_all_changes": False}, {"has_generated": False}, {"schemas": ["public"]},
    {"partitions": "root"},
])  # fmt: skip
def test_publication_that_leaves_something_out_is_wrong(changed):
    whole = {
        "has_all_changes": True, "has_generated": True, "schemas": ["cdc", "public"],
        "partitions": "each",
    }  # fmt: skip
    assert verdicts(diagnose_publication("dbz", Publication(**whole))) == [Verdict.FINE]
    assert verdicts(diagnose_publication("dbz", Publication(**{**whole, **changed}))) == [
        Verdict.WRONG
    ]
    assert verdicts(diagnose_publication("dbz", None)) == [Verdict.WRONG]


def test_publication_by_table_is_fine_and_tells_what_it_leaves_out():
    by_table = Publication(
        has_all_changes=True, has_generated=True, partitions="each", schemas=[], tables=2,
        left_out=["later", "price list"],
    )  # fmt: skip
    told = diagnose_publication("dbz", by_table)
    assert verdicts(told) == [Verdict.FINE, Verdict.NOTE]
    assert told[1].words == "later: not in dbz, so not captured"
    assert "--owned" in told[1].remedy


def test_foreign_shop_without_a_mapping_lacks_nothing_that_it_should_have():
    told = diagnose_unmapped([column("baskets", "id")])
    assert Verdict.WRONG not in verdicts(told)
    assert "no table customers" in told[-1].words
    assert "docs/MAPPING.md" in told[-1].remedy


def test_table_whose_truncates_nobody_would_be_told_of_is_named_with_what_to_type():
    assert verdicts(diagnose_truncates([])) == [Verdict.FINE]
    said = only(diagnose_truncates([("Price List", True), ("notes", False), ("rates", True)]))
    assert said.verdict is Verdict.WRONG
    assert "Price List, notes, rates" in said.words
    wanted = "./pipeline up oltp; then ./pipeline extract 'Price List' rates --full"
    assert said.remedy == wanted
    assert only(diagnose_truncates([("notes", False)])).remedy == "./pipeline up oltp"


TYPES = {
    "text": "text", "integer": "int8", "cents": "numeric", "rate": "numeric", "degrees": "float8",
    "boolean": "bool", "instant": "timestamptz", "date": "date",
}  # fmt: skip


def columns_of(entity):
    return [
        column(entity.table, one.source, TYPES[one.type], has_key=one.source == entity.key)
        for one in entity.columns
    ]


def shop_columns():
    return [column for entity in ENTITIES.values() for column in columns_of(entity)]


def column(table, name, kind="text", *, has_key=True):
    return catalog_row(table, name, kind, key=1 if has_key else None)


def test_shop_is_what_the_contracts_say():
    assert verdicts(diagnose_tables(shop_columns())) == [Verdict.FINE]


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.table)
def test_column_that_is_missing_or_retyped_is_named(entity):
    others = [c for c in shop_columns() if c.table_name != entity.table]
    own = columns_of(entity)
    told = only(diagnose_tables([*others, *own[:-1]]))
    assert told.words == f"{entity.table} has no column {own[-1].column_name}"
    key = own[0]
    retyped = column(entity.table, key.column_name, "uuid")
    assert (
        f"{entity.table}.{key.column_name} is uuid"
        in only(diagnose_tables([*others, retyped, *own[1:]])).words
    )
    assert only(diagnose_tables(others)).words == f"the shop has no table {entity.table}"


def hidden(reason, *, is_partition=False):
    roles = ("debezium", "reconcile")
    return HiddenRows(table="orders", roles=roles, reason=reason, is_partition=is_partition)


def test_table_that_hides_rows_from_its_readers_is_wrong_and_a_grant_is_told_once():
    assert verdicts(diagnose_readers([], [], is_standby=False)) == [Verdict.FINE]
    told = only(diagnose_readers([hidden(Reason.ROW_SECURITY)], [], is_standby=False))
    assert told.verdict is Verdict.WRONG
    assert told.words.startswith("orders has row-level security, which hides rows from debezium")
    assert told.remedy == (
        "as admin: alter role debezium bypassrls; alter role reconcile bypassrls"
    )
    # The check of the roles knows no partitions.
    no_grant = [hidden(Reason.NO_GRANT), hidden(Reason.NO_GRANT, is_partition=True)]
    told = only(diagnose_readers(no_grant, [], is_standby=False))
    assert told.remedy == "as admin: grant select on public.orders to debezium, reconcile"


@pytest.mark.parametrize("shape", Shape)
def test_what_is_no_table_like_others_is_noted(shape):
    told = only(diagnose_readers([], [Odd(name="orders", shape=shape)], is_standby=False))
    assert told.verdict is Verdict.NOTE
    assert told.words.startswith("orders ")
    assert "{" not in told.words + told.remedy


def test_standby_is_wrong_whatever_its_tables_show():
    told = only(diagnose_readers([], [], is_standby=True))
    assert "standby" in told.words
    assert "OLTP_HOST" in told.remedy


def test_columns_that_differ_in_case_only_are_wrong_of_whatever_table():
    odd = [column("a.b", "id"), column("a.b", "Id")]
    wrong = [
        one for one in diagnose_tables([*shop_columns(), *odd]) if one.verdict is Verdict.WRONG
    ]
    assert only(wrong).words.startswith("a.b has columns id and Id: Debezium stops")
    assert verdicts(diagnose_tables([*shop_columns(), column("a", "id"), column("b", "Id")])) == [
        Verdict.FINE
    ]


def test_table_without_key_and_column_besides_are_noted_and_no_other_table_is():
    extra = column("extra", "id")
    assert verdicts(diagnose_tables([*shop_columns(), extra])) == [Verdict.FINE]
    keyless = column("extra", "id", has_key=False)
    assert verdicts(diagnose_tables([*shop_columns(), keyless])) == [Verdict.NOTE]
    told = only(diagnose_tables([*shop_columns(), column("orders", "gift_note")]))
    assert told.words == "orders has columns without contract: gift_note; kept in _extra"


def test_columns_that_no_derived_contract_knows_are_noted_with_what_to_type():
    tenants = [column("tenants", "id"), column("tenants", "plan", has_key=False)]
    names = Names(silver="tenants", history="tenants_history")
    entity = derive([catalog_row("tenants", "id", "text", key=1)], names)
    assert verdicts(diagnose_derived(tenants[:1], [entity])) == [Verdict.FINE]
    told = only(diagnose_derived(tenants, [entity]))
    assert told.verdict is Verdict.NOTE
    assert told.words.endswith("which _extra keeps: tenants (plan)")
    assert told.remedy.startswith("./pipeline consolidate")
    left_out = replace(entity, excluded=("plan",))
    assert verdicts(diagnose_derived(tenants, [left_out])) == [Verdict.FINE]


def health(*problems, state="RUNNING"):
    return Health(
        connector="shop", slot_name="dbz", slot=None, lag_seconds=1.0, problems=problems,
        state=ConnectorState(connector=state, task=state, trace=None),
    )  # fmt: skip


def test_capture_that_flows_is_fine_and_each_problem_has_its_remedy():
    assert verdicts(diagnose_capture(health())) == [Verdict.FINE, Verdict.FINE]
    halted = Problem("Connector shop is PAUSED")
    paused = only(diagnose_capture(health(halted, state="PAUSED")))
    assert paused == wrong("connector shop is paused", "./pipeline connect apply")
    problems = (Problem("Slot dbz is lost", HEAL), Problem("Connector shop is STOPPED"))
    lost = only(diagnose_capture(health(*problems, state="STOPPED")))
    assert lost.remedy.startswith("./pipeline connect apply --accept-loss")
    assert lost.words == "Slot dbz is lost"


# Kafka


def bronze(positions=(5, 5), ends=((0, 5), (0, 5)), epoch=("t1", 2)):
    return diagnose_bronze(
        {TOPIC.name: TOPIC},
        {p: End(oldest=o, end=e) for p, (o, e) in zip(TOPIC.partitions, ends, strict=True)},
        dict(zip(TOPIC.partitions, positions, strict=True)),
        {"raw_sales": [Epoch(epoch=0, topic_id=epoch[0], partition_count=epoch[1])]},
    )


def test_bronze_that_can_continue_is_fine_and_an_offset_gap_is_named():
    assert verdicts(bronze()) == [Verdict.FINE]
    assert verdicts(bronze(positions=(0, 5))) == [Verdict.FINE]
    gone = only(bronze(positions=(3, 5), ends=((4, 5), (0, 5))))
    assert gone.words == f"{TOPIC.name}: bronze needs offset 3, but the broker's oldest is 4"
    assert "./pipeline land --accept-loss" in gone.remedy
    assert verdicts(bronze(positions=(6, 5))) == [Verdict.WRONG]


@pytest.mark.parametrize("epoch", [("another", 2), ("t1", 4)])
def test_topic_that_is_not_what_it_was_is_told_once(epoch):
    assert only(bronze(epoch=epoch)).verdict is Verdict.WRONG


def live(topic_id="t1", count=2, last=((0, 4), (1, 4))):
    known = {"orders": LiveTopic(topic_id=topic_id, partition_count=count, last=dict(last))}
    ends = {p: End(oldest=2, end=5) for p in TOPIC.partitions}
    return diagnose_live({TOPIC.name: TOPIC}, ends, known)


def test_live_that_can_continue_is_fine_and_otherwise_a_consolidation_helps():
    assert verdicts(live()) == [Verdict.FINE]
    assert verdicts(live(last=[(0, 4)])) == [Verdict.WRONG]
    assert verdicts(live(last=[(0, 9), (1, 4)])) == [Verdict.WRONG]
    assert only(live(topic_id="x")).remedy == "./pipeline consolidate; then ./pipeline up live"


def test_topics_with_other_partitions_are_noted():
    assert verdicts(diagnose_topics({TOPIC.name: TOPIC}, 2)) == [Verdict.FINE]
    assert verdicts(diagnose_topics({TOPIC.name: TOPIC}, 4)) == [Verdict.NOTE]
    assert verdicts(diagnose_topics({}, 4)) == [Verdict.NOTE]


def lag(*waited, retention=3600.0):
    places = (TopicPartition(topic="t", topic_id="i", partition=n) for n in range(9))
    waiting = {p: NOW - timedelta(seconds=s) for p, s in zip(places, waited, strict=False)}
    told = Lag(offsets=len(waited), waiting=waiting, limit=60, retention=retention)
    return only(diagnose_lag("lander", told, NOW))


def test_change_may_wait_for_a_while_and_the_oldest_decides():
    assert lag().verdict is Verdict.FINE
    assert lag(1, 59).verdict is Verdict.FINE
    late = lag(1, 61, 5)
    assert late.verdict is Verdict.WRONG
    assert "the oldest of t[1] is 61 s old" in late.words
    assert "Kafka drops it in" not in late.words
    assert "Kafka drops it in 0.4 hours" in lag(2_160).words


def test_how_long_a_change_of_the_future_has_waited_nobody_can_tell():
    ahead = lag(-3_600, 5)
    assert ahead.verdict is Verdict.FINE  # another has waited for longer
    ahead = lag(-3_600)
    assert ahead.verdict is Verdict.WRONG
    assert "3,600 s ahead of this machine's clock" in ahead.words
    assert lag(-1).verdict is Verdict.FINE
    assert "-" not in lag(-1).words
