"""The doctor: checks look side by side, none holds up the report, and each judges what it read."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.catalogue import Behind, LakeTable, Mark, TableFigures, Unit
from batch.silver.places import Place
from connectors.health import Health
from connectors.plain_words import HEAL
from connectors.rest import ConnectorState
from consumers.delta_bronze import Epoch
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.schemas import silver_schema
from lakehouse.coordinates import TopicPartition
from lakehouse.kafka import Topic
from stack.control import ServiceStatus
from stack.doctor import all_checks, examine
from stack.doctor.capture import judge_capture
from stack.doctor.clock import judge_clocks
from stack.doctor.lake import contracted, differences
from stack.doctor.lake import judge_tables as judge_lake
from stack.doctor.layers import Star, beyond, judge_gold, judge_silver, judge_star
from stack.doctor.machine import (
    judge_memory,
    judge_packages,
    judge_passwords,
    judge_python,
    judge_servers,
)
from stack.doctor.model import Check, Verdict, fine, wrong, wrong_as_told
from stack.doctor.offsets import End
from stack.doctor.pages import judge_dags, judge_parts
from stack.doctor.roles import Found, LakeUser, Rights, allowed, judge_roles, judge_users
from stack.doctor.services import PortReading, judge_ports, judge_services
from stack.doctor.shop import (
    Publication,
    SourceColumn,
    judge_publication,
    judge_tables,
    judge_wal,
)
from stack.doctor.topics import (
    Lag,
    LiveTopic,
    judge_bronze,
    judge_lag,
    judge_live,
    judge_topics,
)
from stack.doctor.warehouse import (
    LastLoad,
    judge_load,
    judge_losses,
    judge_quarantine,
    judge_schema,
    judge_settings,
)
from stack.minio.buckets import policy

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TOPIC = Topic(name="shop.public.orders", topic_id="t1", partition_count=2)


class Nothing:
    """Readings of a stack of which only some services are up."""

    def __init__(self, *ready):
        self.ready = ready

    def not_ready(self, names):
        return [name for name in names if name not in self.ready]


def check(look, **more):
    return Check(area="area", title="title", look=look, **more)


def found(checks, readings=None, limit_seconds=30):
    return examine(checks, readings or Nothing(), limit_seconds=limit_seconds)


def verdicts(said):
    return [one.verdict for one in said]


def only(said):
    assert len(said) == 1
    return said[0]


# Looking


def test_what_checks_say_comes_in_their_order():
    first_may_end = threading.Event()

    def slow(_):
        assert first_may_end.wait(30)
        return [fine("slow")]

    def quick(_):
        first_may_end.set()
        return [wrong("a", "b"), fine("quick")]

    assert [one.words for one in found([check(slow), check(quick)])] == ["slow", "a", "quick"]


def test_check_that_hangs_is_reported_and_holds_up_nobody():
    forever = threading.Event()
    checks = [check(lambda _: forever.wait()), check(lambda _: [fine("quick")])]
    hung, quick = found(checks, limit_seconds=1)
    forever.set()
    assert (hung.verdict, hung.words) == (Verdict.UNCHECKED, "no answer within 1 s")
    assert quick.verdict is Verdict.FINE


def test_check_that_fails_is_not_checked_and_the_others_go_on():
    def fail(_):
        message = "it\n  does not answer"
        raise OSError(message)

    failed, other = found([check(fail), check(lambda _: [fine("here")])])
    assert (failed.verdict, failed.words) == (Verdict.UNCHECKED, "it does not answer")
    assert other.verdict is Verdict.FINE


def test_check_without_its_service_says_which_is_not_up():
    def never(_):
        pytest.fail("looked at what is not there")

    checks = [check(never, needs=("oltp", "kafka", "minio"))]
    one = only(found(checks, Nothing("kafka")))
    assert (one.verdict, one.words) == (Verdict.UNCHECKED, "oltp and minio are not up")


def test_titles_tell_checks_apart():
    titles = [(one.area, one.title) for one in all_checks()]
    assert len(set(titles)) == len(titles) > 25


def test_message_of_ours_is_cut_into_what_is_wrong_and_what_to_do():
    said = wrong_as_told("kafka: port 9092 is in use by nc. Stop that, or set KAFKA_PORT.")
    assert said == wrong("kafka: port 9092 is in use by nc", "Stop that, or set KAFKA_PORT.")


# The machine


@pytest.mark.parametrize(("version", "is_fine"), [
    ((3, 10, 9), False), ((3, 11, 0), True), ((3, 12, 9), True), ((3, 13, 0), False),
])  # fmt: skip
def test_python_is_one_that_the_locks_are_for(version, is_fine):
    assert (only(judge_python(version)).verdict is Verdict.FINE) is is_fine


def test_packages_are_those_that_are_locked():
    wanted = {
        "polars": {"2.1": ""},
        "colorama": {"0.4": "sys_platform == 'win32'"},
        "numpy": {"2.0": "python_version < '3.12'", "2.2": "python_version >= '3.12'"},
    }
    have = {"polars": "2.1", "numpy": "2.2"}
    assert verdicts(judge_packages(wanted, have.get)) == [Verdict.FINE]
    told = only(judge_packages(wanted, {**have, "polars": "2.0"}.get))
    assert told.words == "polars 2.1 is locked, 2.0 is there"
    assert only(judge_packages(wanted, {**have, "numpy": "1.9"}.get)).verdict is Verdict.WRONG
    assert only(judge_packages(wanted, {"numpy": "2.0"}.get)).words.endswith("nothing is there")


def test_folder_of_the_cache_that_lost_a_part_is_to_be_made_anew(tmp_path):
    kafka, airflow = tmp_path / "kafka-1", tmp_path / "airflow-1"
    jar = kafka / "libs" / "a.jar"
    told = only(judge_servers({kafka: [jar]}, {}))
    assert (told.words, told.remedy) == ("not set up yet: kafka-1", "./pipeline up")
    jar.parent.mkdir(parents=True)
    told = only(judge_servers({kafka: [jar]}, {}))
    assert told == wrong(f"{kafka} lacks a.jar", f"rm -r {kafka}; ./pipeline up")
    jar.touch()
    assert verdicts(judge_servers({kafka: [jar]}, {})) == [Verdict.FINE]
    assert verdicts(judge_servers({kafka: [jar]}, {airflow: []})) == [Verdict.NOTE]


def test_memory_is_enough_to_go_on_or_to_start():
    assert verdicts(judge_memory(2_000, is_running=True)) == [Verdict.FINE]
    assert verdicts(judge_memory(2_000, is_running=False)) == [Verdict.NOTE]
    assert verdicts(judge_memory(200, is_running=True)) == [Verdict.WRONG]


def test_passwords_that_others_can_read_are_wrong():
    path = Path("secrets.json")
    assert only(judge_passwords(path, 0o100644, [])).remedy == "chmod 600 secrets.json"
    assert only(judge_passwords(path, 0o100600, ["oltp_admin"])).remedy == "./pipeline up"
    assert verdicts(judge_passwords(path, 0o100600, [])) == [Verdict.FINE]


def test_clock_that_is_off_is_named_with_its_direction():
    assert verdicts(judge_clocks({"oltp": 0.5, "minio": -0.5})) == [Verdict.FINE]
    told = judge_clocks({"oltp": 90.0, "minio": -7.0})
    assert [one.words for one in told] == [
        "oltp's clock is 90.0 s ahead", "minio's clock is 7.0 s behind",
    ]  # fmt: skip
    assert verdicts(judge_clocks({})) == [Verdict.UNCHECKED]


# Services and ports

SERVICES = (
    "oltp", "warehouse", "kafka", "connect", "minio", "lander", "live",
    "airflow", "airflow-dags", "airflow-scheduler", "superset",
)  # fmt: skip


def statuses(**states):
    names = {name.replace("_", "-"): state for name, state in states.items()}
    return {
        name: ServiceStatus(
            service=name, title=name, state=names.get(name, "RUNNING"),
            is_ready=name not in names, pid=None, uptime_seconds=None, memory_mb=None,
            ports=(), url="", log="",
        )
        for name in SERVICES
    }  # fmt: skip


AIRFLOW_OFF = dict.fromkeys(("airflow", "airflow_dags", "airflow_scheduler"), "STOPPED")


def test_stack_that_is_down_is_one_thing_to_type():
    down = dict.fromkeys((name.replace("-", "_") for name in SERVICES), "STOPPED")
    assert judge_services(statuses(**down)) == [wrong("nothing runs", "./pipeline up")]


def test_airflow_and_charts_may_be_left_out_but_not_in_part():
    assert verdicts(judge_services(statuses(**AIRFLOW_OFF, superset="STOPPED"))) == [Verdict.FINE]
    told = only(judge_services(statuses(airflow_scheduler="STOPPED")))
    assert told.remedy == "./pipeline up airflow-scheduler"


@pytest.mark.parametrize("state", ["STOPPED", "FATAL", "EXITED", "BACKOFF", "RUNNING"])
def test_lander_that_does_not_answer_is_wrong_whatever_its_state(state):
    told = only(judge_services(statuses(lander=state)))
    assert told.verdict is Verdict.WRONG
    assert "./pipeline up lander" in told.remedy


def test_service_that_starts_is_only_noted():
    assert verdicts(judge_services(statuses(kafka="STARTING"))) == [Verdict.NOTE]


def test_each_port_that_somebody_else_has_is_named_once():
    def reading(number, problem=None, *, is_running=False):
        return PortReading(service="s", number=number, is_running=is_running, problem=problem)

    assert verdicts(judge_ports([reading(1), reading(2, is_running=True)])) == [Verdict.FINE]
    told = judge_ports([reading(1, "s: port 1 is in use by nc. Stop that."), reading(2)])
    assert told == [wrong("s: port 1 is in use by nc", "Stop that.")]


# Roles

RIGHTS = {"reader": Rights(must={"mart.*": ("select",)}, may={"etl.*": ("select",)})}
TABLES = {"mart.a", "mart.b", "etl.c", "entity.d"}
READS = {("reader", "mart.a", "select"), ("reader", "mart.b", "select")}


def roles(grants=frozenset(READS), powers=(), refused=()):
    has = Found(
        tables=TABLES, grants=grants, powers={"reader": powers}, refused=dict(refused)
    )  # fmt: skip
    return judge_roles(RIGHTS, has, service="warehouse")


def test_role_with_what_it_needs_and_may_is_fine():
    assert verdicts(roles()) == [Verdict.FINE]
    assert verdicts(roles(READS | {("reader", "etl.c", "select")})) == [Verdict.FINE]


def test_grant_that_is_gone_is_named_and_up_brings_it_back():
    told = only(roles(READS - {("reader", "mart.b", "select")}))
    assert told == wrong("reader may not select mart.b", "./pipeline up warehouse")


def test_grant_too_much_is_named_with_what_takes_it_back():
    told = only(roles(READS | {("reader", "entity.d", "delete")}))
    assert told.remedy == "as admin: revoke delete on entity.d from reader"


def test_power_too_much_or_too_little_is_named():
    assert only(roles(powers=["superuser"])).remedy == "as admin: alter role reader nosuperuser"
    assert only(roles(powers=["batch"])).remedy == "as admin: revoke batch from reader"
    needs = {"debezium": Rights(must={}, powers=("replication",))}
    has = Found(tables=(), grants=(), powers={"debezium": []}, refused={})
    assert only(judge_roles(needs, has, service="oltp")).words == "debezium is no replication"


def test_role_that_is_not_let_in_or_not_there_is_wrong():
    assert verdicts(roles(refused={"reader": "password authentication failed"})) == [Verdict.WRONG]
    gone = Found(tables=TABLES, grants=(), powers={}, refused={})
    assert only(judge_roles(RIGHTS, gone, service="x")).words == "there is no role reader"


def test_user_of_the_lake_has_its_policy_and_no_other():
    own = policy([{"Effect": "Allow", "Action": ["a", "b"], "Resource": ["r"]}])
    wide = policy([{"Effect": "Allow", "Action": ["a", "b"], "Resource": ["r", "s"]}])
    user = LakeUser(is_enabled=True, policies=["reader"], policy=own)

    def judged(user):
        return only(judge_users({"reader": own}, {"reader": user})).verdict

    assert judged(user) is Verdict.FINE
    assert judged(None) is Verdict.WRONG
    assert judged(LakeUser(is_enabled=False, policies=["reader"], policy=own)) is Verdict.WRONG
    assert judged(LakeUser(is_enabled=True, policies=["a", "reader"], policy=own)) is Verdict.WRONG
    assert judged(LakeUser(is_enabled=True, policies=["reader"], policy=wide)) is Verdict.WRONG
    assert allowed(own) == {("a", "r"), ("b", "r")}


# The shop, and capture

WAL = {"wal_level": "logical", "max_slot_wal_keep_size": "4096",
       "max_replication_slots": "8", "max_wal_senders": "8"}  # fmt: skip


@pytest.mark.parametrize(("changed", "words"), [
    ({"wal_level": "replica"}, "wal_level is replica"),
    ({"max_slot_wal_keep_size": "-1"}, "STACK_SLOT_WAL_KEEP_MB says 4096"),
    ({"max_replication_slots": "1"}, "max_replication_slots is 1"),
])  # fmt: skip
def test_setting_that_capture_cannot_live_with_is_named(changed, words):
    assert verdicts(judge_wal(WAL, [], keep_mb=4096)) == [Verdict.FINE]
    assert words in only(judge_wal({**WAL, **changed}, [], keep_mb=4096)).words
    assert verdicts(judge_wal(WAL, ["wal_level"], keep_mb=4096)) == [Verdict.WRONG]


@pytest.mark.parametrize("changed", [
    {"has_all_changes": False}, {"has_generated": False}, {"schemas": ["public"]},
])  # fmt: skip
def test_publication_that_leaves_something_out_is_wrong(changed):
    whole = {"has_all_changes": True, "has_generated": True, "schemas": ["cdc", "public"]}
    assert verdicts(judge_publication("dbz", Publication(**whole))) == [Verdict.FINE]
    assert verdicts(judge_publication("dbz", Publication(**{**whole, **changed}))) == [
        Verdict.WRONG
    ]
    assert verdicts(judge_publication("dbz", None)) == [Verdict.WRONG]


TYPES = {
    "text": "text", "integer": "int8", "cents": "numeric", "rate": "numeric", "degrees": "float8",
    "boolean": "bool", "instant": "timestamptz", "date": "date",
}  # fmt: skip


def columns_of(entity):
    return [
        SourceColumn(
            table_name=entity.table, column_name=column.source, type_name=TYPES[column.type],
            has_key=True,
        )
        for column in entity.columns
    ]  # fmt: skip


def shop_columns():
    return [column for entity in ENTITIES.values() for column in columns_of(entity)]


def column(table, name, kind="text", *, has_key=True):
    return SourceColumn(table_name=table, column_name=name, type_name=kind, has_key=has_key)


def test_shop_is_what_the_contracts_say():
    assert verdicts(judge_tables(shop_columns())) == [Verdict.FINE]


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.table)
def test_column_that_is_missing_or_retyped_is_named(entity):
    others = [c for c in shop_columns() if c.table_name != entity.table]
    own = columns_of(entity)
    told = only(judge_tables([*others, *own[:-1]]))
    assert told.words == f"{entity.table} has no column {own[-1].column_name}"
    key = own[0]
    retyped = column(entity.table, key.column_name, "uuid")
    assert (
        f"{entity.table}.{key.column_name} is uuid"
        in only(judge_tables([*others, retyped, *own[1:]])).words
    )
    assert only(judge_tables(others)).words == f"the shop has no table {entity.table}"


def test_table_without_contract_or_key_and_column_besides_are_noted():
    extra = column("extra", "id")
    assert verdicts(judge_tables([*shop_columns(), extra])) == [Verdict.NOTE]
    keyless = column("extra", "id", has_key=False)
    assert verdicts(judge_tables([*shop_columns(), keyless])) == [Verdict.NOTE, Verdict.NOTE]
    told = only(judge_tables([*shop_columns(), column("orders", "gift_note")]))
    assert told.words == "orders has gift_note besides: carried on in _extra"


def health(*problems, state="RUNNING"):
    return Health(
        connector="shop", slot_name="dbz", slot=None, lag_seconds=1.0, problems=problems,
        state=ConnectorState(connector=state, task=state, trace=None),
    )  # fmt: skip


def test_capture_that_flows_is_fine_and_each_problem_has_its_remedy():
    assert verdicts(judge_capture(health())) == [Verdict.FINE, Verdict.FINE]
    paused = only(judge_capture(health("Connector shop is PAUSED.", state="PAUSED")))
    assert paused == wrong("connector shop is paused", "./pipeline connect apply")
    lost = only(judge_capture(health(f"Slot dbz is lost. {HEAL}")))
    assert lost.remedy.startswith("./pipeline connect apply --accept-loss")
    assert lost.words == "Slot dbz is lost"


# Kafka


def bronze(positions=(5, 5), ends=((0, 5), (0, 5)), epoch=("t1", 2)):
    return judge_bronze(
        {TOPIC.name: TOPIC},
        {p: End(oldest=o, end=e) for p, (o, e) in zip(TOPIC.partitions, ends, strict=True)},
        dict(zip(TOPIC.partitions, positions, strict=True)),
        {"raw_sales": [Epoch(epoch=0, topic_id=epoch[0], partition_count=epoch[1])]},
    )


def test_bronze_that_can_go_on_is_fine_and_a_gap_is_named():
    assert verdicts(bronze()) == [Verdict.FINE]
    assert verdicts(bronze(positions=(0, 5))) == [Verdict.FINE]
    gone = only(bronze(positions=(3, 5), ends=((4, 5), (0, 5))))
    assert gone.words == f"{TOPIC.name}: bronze needs offset 3, the broker's oldest is 4"
    assert "./pipeline land --accept-loss" in gone.remedy
    assert verdicts(bronze(positions=(6, 5))) == [Verdict.WRONG]


@pytest.mark.parametrize("epoch", [("another", 2), ("t1", 4)])
def test_topic_that_is_not_what_it_was_is_told_once(epoch):
    assert only(bronze(epoch=epoch)).verdict is Verdict.WRONG


def live(topic_id="t1", count=2, last=((0, 4), (1, 4))):
    known = {"orders": LiveTopic(topic_id=topic_id, partition_count=count, last=dict(last))}
    ends = {p: End(oldest=2, end=5) for p in TOPIC.partitions}
    return judge_live({TOPIC.name: TOPIC}, ends, known)


def test_live_that_can_go_on_is_fine_and_otherwise_a_consolidation_helps():
    assert verdicts(live()) == [Verdict.FINE]
    assert verdicts(live(last=[(0, 4)])) == [Verdict.WRONG]
    assert verdicts(live(last=[(0, 9), (1, 4)])) == [Verdict.WRONG]
    assert only(live(topic_id="x")).remedy == "./pipeline consolidate; then ./pipeline up live"


def test_topics_with_other_partitions_are_noted():
    assert verdicts(judge_topics({TOPIC.name: TOPIC}, 2)) == [Verdict.FINE]
    assert verdicts(judge_topics({TOPIC.name: TOPIC}, 4)) == [Verdict.NOTE]
    assert verdicts(judge_topics({}, 4)) == [Verdict.NOTE]


def lag(*waited, retention=3600.0):
    places = (TopicPartition(topic="t", topic_id="i", partition=n) for n in range(9))
    waiting = {p: NOW - timedelta(seconds=s) for p, s in zip(places, waited, strict=False)}
    told = Lag(offsets=len(waited), waiting=waiting, limit=60, retention=retention)
    return only(judge_lag("lander", told, NOW))


def test_change_may_wait_for_a_while_and_the_oldest_decides():
    assert lag().verdict is Verdict.FINE
    assert lag(1, 59).verdict is Verdict.FINE
    late = lag(1, 61, 5)
    assert late.verdict is Verdict.WRONG
    assert "the oldest of t[1] has waited for 61 s" in late.words
    assert "Kafka drops it in" not in late.words
    assert "Kafka drops it in 0.4 hours" in lag(2_160).words


# Watermarks

PLACES = st.builds(
    Place, epoch=st.integers(0, 2), topic_id=st.sampled_from("ab"), partition=st.integers(0, 2)
)
MARKS = st.dictionaries(PLACES, st.integers(0, 50))


def newest(marks):
    epochs = {}
    for place in marks:
        epochs[place.topic_id] = max(place.epoch, epochs.get(place.topic_id, 0))
    return {p: last for p, last in marks.items() if p.epoch == epochs[p.topic_id]}


@given(lower=MARKS, data=st.data())
def test_layer_that_took_in_only_what_the_one_below_had_is_in_order(lower, data):
    lower = newest(lower)
    upper = {p: data.draw(st.integers(0, last)) for p, last in lower.items()}
    assert beyond(upper, lower) == []


@given(lower=MARKS.filter(bool), data=st.data())
def test_any_one_watermark_beyond_the_layer_below_is_found(lower, data):
    lower = newest(lower)
    place = data.draw(st.sampled_from(sorted(lower)))
    upper = {**lower, place: lower[place] + data.draw(st.integers(1, 9))}
    assert beyond(upper, lower) == [
        f"offset {upper[place]:,} of partition {place.partition}, "
        f"the layer below has {lower[place]:,}"
    ]


@given(lower=MARKS, place=PLACES, last=st.integers(0, 50))
def test_partition_of_a_topic_that_the_layer_below_never_had_is_found(lower, place, last):
    lower = {p: n for p, n in lower.items() if p.topic_id != place.topic_id}
    assert len(beyond({place: last}, lower)) == 1


@given(lower=MARKS.filter(bool), data=st.data())
def test_epoch_that_is_over_is_no_fault(lower, data):
    place = data.draw(st.sampled_from(sorted(lower)))
    later = {Place(epoch=9, topic_id=place.topic_id, partition=place.partition): 0}
    assert beyond({place: 99}, later) == []


def table(layer, name, *marks, version=3, behind=0):
    unit = Unit.VERSIONS if layer == "gold" else Unit.OFFSETS
    return TableFigures(
        table=LakeTable(layer=layer, name=name), watermark=tuple(marks), version=version, unit=unit,
        behind=None if layer == "bronze" else Behind(count=behind, unit=unit),
    )  # fmt: skip


def mark(last, *, epoch=None):
    return Mark(source="t1", reached=last, epoch=epoch, partition=0)


def lake(bronze=9, current=7, others=8):
    silver = {"cleaned_sales": current, "quarantine": others, "rule_counts": others}
    return [
        table("bronze", "raw_sales", mark(bronze)),
        *(table("silver", name, mark(last, epoch=0)) for name, last in silver.items()),
    ]


EPOCHS = {"raw_sales": [Epoch(epoch=0, topic_id="t1", partition_count=1)]}


def test_silver_within_bronze_is_in_order_and_beyond_it_is_not():
    assert verdicts(judge_silver(lake(), lake(), EPOCHS)) == [Verdict.FINE]
    told = only(judge_silver(lake(bronze=6), lake(bronze=6), EPOCHS))
    assert "cleaned_sales is at offset 7 of partition 0, the layer below has 6" in told.words
    assert told.remedy == "./pipeline rebuild --layer silver"


def test_rows_ahead_of_what_was_put_aside_are_found():
    told = judge_silver(lake(others=6), lake(others=6), EPOCHS)
    assert verdicts(told) == [Verdict.WRONG, Verdict.WRONG]
    assert "the layer below quarantine has 6" in told[0].words


def test_silver_is_judged_by_the_bronze_that_was_read_later():
    assert verdicts(judge_silver(lake(bronze=6), lake(bronze=9), EPOCHS)) == [Verdict.FINE]


def gold(version, *, inputs=("cleaned_sales", "cleaned_sale_lines")):
    marks = [Mark(source=name, reached=version) for name in inputs]
    return [
        table("silver", "cleaned_sales", version=3), table("gold", "sales_kpi", *marks),
    ]  # fmt: skip


def test_gold_is_made_from_versions_that_there_are():
    assert verdicts(judge_gold(gold(3), gold(3))) == [Verdict.FINE]
    assert "version 4" in only(judge_gold(gold(4), gold(4))).words
    lost = gold(3, inputs=("cleaned_sale_lines",))
    assert "another table" in only(judge_gold(lost, lost)).words


def star(offset=7, version=3):
    place = Place(epoch=0, topic_id="t1", partition=0)
    return Star(offsets={"orders": {place: offset}}, versions={"cleaned_sales": version})


def test_star_within_silver_is_in_order_and_beyond_it_is_not():
    assert verdicts(judge_star(star(), lake())) == [Verdict.FINE]
    assert only(judge_star(star(5), lake())).words == "in order, 2 offsets behind"
    told = only(judge_star(star(8), lake()))
    assert told.remedy == "./pipeline rebuild --layer warehouse"
    assert "version 9" in only(judge_star(star(version=9), lake())).words


# The lake's schemas


def test_lake_that_follows_its_contracts_is_fine():
    assert verdicts(judge_lake(contracted())) == [Verdict.FINE]


@given(st.data())
def test_any_column_that_is_missing_retyped_or_too_much_is_named(data):
    place = data.draw(st.sampled_from(sorted(contracted())))
    schema = contracted()[place]
    number = data.draw(st.integers(0, len(schema) - 1))
    name = schema.field(number).name
    assert differences(schema.remove(number), schema) == [f"no column {name}"]
    retyped = schema.set(number, pa.field(name, pa.float16()))
    assert differences(retyped, schema)[0].startswith(f"{name} is halffloat")
    assert differences(schema.append(pa.field("more", pa.int8())), schema) == [
        "more is in no contract"
    ]


def test_how_long_values_may_be_is_no_difference():
    schema = silver_schema(ENTITIES["orders"])
    large = pa.schema(
        pa.field(f.name, pa.large_string() if f.type == pa.string() else f.type) for f in schema
    )
    assert differences(large, schema) == []


# The warehouse, runs, pages


def test_schema_settings_and_load_of_the_warehouse():
    assert verdicts(judge_schema([], [])) == [Verdict.FINE]
    assert only(judge_schema(["migrations/9.sql"], [])).remedy == "./pipeline up warehouse"
    assert verdicts(judge_schema([], ["customer_cohorts"])) == [Verdict.NOTE]
    assert verdicts(judge_settings(("UTC", "EUR"), ("UTC", "EUR"))) == [Verdict.FINE]
    assert verdicts(judge_settings(("UTC", "EUR"), ("UTC", "USD"))) == [Verdict.WRONG]
    assert verdicts(judge_settings(None, ("UTC", "USD"))) == [Verdict.WRONG]


def test_load_that_was_stopped_names_its_checks():
    published = LastLoad(outcome="published", quarantine_share=0.1, failed=[])
    assert verdicts(judge_load(published)) == [Verdict.FINE]
    stopped = LastLoad(outcome="stopped", quarantine_share=0.5, failed=["quarantine_share"])
    told = only(judge_load(stopped))
    assert "stopped by quarantine_share" in told.words
    assert "CONSOLIDATION_QUARANTINE_MAX_SHARE=1" in told.remedy
    assert verdicts(judge_load(None)) == [Verdict.NOTE]


def test_share_in_quarantine_has_its_limit():
    assert verdicts(judge_quarantine(0, 0, None, 0.2)) == [Verdict.FINE]
    assert verdicts(judge_quarantine(5, 1, 0.2, 0.2)) == [Verdict.FINE]
    assert verdicts(judge_quarantine(5, 1, 0.21, 0.2)) == [Verdict.WRONG]


def loss(kind, first=5):
    return {"kind": kind, "topic_id": "t1", "partition": 0, "first_offset": first}


def test_loss_is_open_until_its_tables_are_read_again():
    assert verdicts(judge_losses([])) == [Verdict.FINE]
    assert only(judge_losses([loss("slot_lost")])).remedy == "./pipeline extract --full"
    assert verdicts(judge_losses([loss("slot_lost"), loss("read_again")])) == [Verdict.FINE]
    assert verdicts(judge_losses([loss("slot_lost"), loss("read_again", 6)])) == [Verdict.WRONG]
    assert verdicts(judge_losses([loss("expired")])) == [Verdict.NOTE]


def test_airflow_is_well_when_all_its_parts_are_and_each_dag_is_active():
    parts = dict.fromkeys(("scheduler", "dag_processor", "metadatabase"), "healthy")
    assert verdicts(judge_parts(parts)) == [Verdict.FINE]
    ill = only(judge_parts({**parts, "scheduler": "unhealthy"}))
    assert ill.remedy == "./pipeline logs airflow-scheduler"
    assert verdicts(judge_parts({})) == [Verdict.WRONG] * 3
    wanted, url = ["extract", "replay"], "http://a"
    active = dict.fromkeys(wanted, False)
    assert verdicts(judge_dags(wanted, active, {}, url)) == [Verdict.FINE]
    paused = only(judge_dags(wanted, {**active, "replay": True}, {}, url))
    assert paused.remedy == "resume it on http://a/dags/replay"
    unread = judge_dags(wanted, {"extract": False}, {"replay.py": "SyntaxError"}, url)
    assert verdicts(unread) == [Verdict.WRONG, Verdict.WRONG]
