"""Masks on the real services: no masked value is in any topic, object or log."""

import base64
import hashlib
import io
import json
import random
import re
import uuid

import polars as pl
import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from psycopg import sql

from batch.contracts.stored import contracts_of
from batch.reconcile.kinds import NOT_MASKED, SALT_SETTING, kind_of, masked_kind
from lakehouse.contracts import Mask
from lakehouse.kafka import QuietLog
from lakehouse.lake import Lake
from lakehouse.object_store import object_store
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from tests.stacks import settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
PATIENCE_SECONDS = 300
TOKEN = uuid.uuid4().hex[:12]
"""In each value that is masked, before its last four characters."""
ODD = 'Tax "no.", it\'s $1 = ${file:/x:y} /100 %'
PEOPLE = """
create type feeling as enum ('{token}-sad', '{token}-fine');
create domain code as char(30);
create table people (
    id bigint primary key,
    kept text,
    phone text,
    phone2 text,
    "Fax" text,
    {odd} varchar(40) not null default '{token}-default',
    padded char(30),
    of_domain code,
    a_name name,
    ref uuid,
    felt feeling,
    an_int integer not null default 2071150815,
    facts jsonb not null,
    tags text[],
    long text,
    born date
)"""
MASKS = {
    "phone": "keep-last-4", "Fax": "hash", ODD: "hash", "padded": "hash", "of_domain": "hash",
    "a_name": "keep-last-4", "ref": "hash", "felt": "keep-last-4", "an_int": None, "facts": None,
    "tags": None, "long": "hash", "born": None,
}  # fmt: skip
REF = str(uuid.uuid4())
INSERT = sql.SQL(
    'insert into {} (id, kept, phone, phone2, "Fax", {}, padded, of_domain, a_name, ref, felt,'
    " facts, tags, long, born) values"
    " (%(id)s, %(kept)s, %(phone)s, %(phone2)s, %(Fax)s, %(odd)s, %(padded)s, %(of_domain)s,"
    " %(a_name)s, %(ref)s, %(felt)s, %(facts)s, %(tags)s, %(long)s, '1990-01-02')"
)


def long_text(seed):
    """A text that Postgres stores outside of the row, and does not log when it is unchanged."""
    return TOKEN + random.Random(seed).randbytes(8_000).hex()


def person(number, **values):
    return {
        "id": number,
        "kept": f"kept {number}",
        "phone": f"{TOKEN}é𝄞 {number:04}",
        "phone2": f"open {number}",
        "Fax": f"{TOKEN} {number}",
        "odd": f"{TOKEN}'s ünïcode {number}",
        "padded": f"{TOKEN} {number}",
        "of_domain": f"{TOKEN} {number}",
        "a_name": f"{TOKEN}{number:04}",
        "ref": REF,
        "felt": f"{TOKEN}-sad",
        "facts": json.dumps({"fact": TOKEN}),
        "tags": [TOKEN, None],
        "long": long_text(number),
        **values,
    }


NOTHING = dict.fromkeys(
    (
        "kept",
        "phone",
        "phone2",
        "Fax",
        "padded",
        "of_domain",
        "a_name",
        "ref",
        "felt",
        "tags",
        "long",
    )
)


def masked(mask, value, salt):
    """The oracle."""
    if value is None or mask is None:
        return None
    text = str(value).rstrip(" ")
    if mask == "hash":
        return hashlib.sha256((salt + text).encode()).hexdigest()
    return "*" * (len(text) - 4) + text[-4:] if len(text) > 4 else "*" * len(text)


def write_file(folder, table, masks):
    lines = [f"  {json.dumps(name)}: {{mask: {mask or 'null'}}}" for name, mask in masks.items()]
    (folder / f"{table}.yaml").write_text("\n".join(["columns:", *lines]))


@pytest.fixture(scope="module")
def contracts(tmp_path_factory):
    return tmp_path_factory.mktemp("contracts")


@pytest.fixture(scope="module")
def shop(contracts):
    """A shop with masked and other tables, of which the connector's first snapshot reads rows."""
    write_file(contracts, "people", MASKS)
    write_file(
        contracts, "customers", {"email": "hash", "phone": "keep-last-4", "birth_date": None}
    )
    given = {"CONTRACTS_DIR": contracts, "RECONCILE_TIMEOUT_SECONDS": PATIENCE_SECONDS}
    with tenant(LANDING_FLUSH_SECONDS=0.5, **given) as stack:
        stack.up("oltp")
        with psycopg.connect(dsn(stack), autocommit=True) as connection:
            text = sql.SQL(PEOPLE.replace("{token}", TOKEN)).format(odd=sql.Identifier(ODD))
            connection.execute(text)
            connection.execute("create table openly (like people including all)")
            connection.execute("create table earlier (id bigint primary key, phone text)")
            for table in ("people", "openly"):
                insert(connection, table, person(1), person(2, **NOTHING), person(3))
            connection.execute("insert into earlier values (1, %s), (2, null)", [f"{TOKEN}-0001"])
        stack.up("lander")
        yield stack


def dsn(stack):
    return oltp_dsn(stack.oltp, stack.secrets, role="admin")


def insert(connection, table, *rows):
    query = INSERT.format(sql.Identifier(table), sql.Identifier(ODD))
    for row in rows:
        connection.execute(query.as_string().replace("100 %", "100 %%").encode(), row)


def run(stack, *statements):
    with psycopg.connect(dsn(stack), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def silver(stack, table):
    lake = Lake.of(stack.minio, stack.secrets, user="reader")
    rows = pl.scan_delta(lake.uri("silver", table), storage_options=dict(lake.options))
    return rows.filter(pl.col("_deleted_at").is_null()).sort("id").collect()


def topics_with(stack, *markers):
    """The topics of which any record has one of the markers, aborted ones included."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka.bootstrap_servers, "group.id": uuid.uuid4().hex,
            "isolation.level": "read_uncommitted", "enable.partition.eof": True,
        },
        logger=QuietLog(),
    )  # fmt: skip
    own = ("_connect-", stack.connect.topic_prefix)
    listed = consumer.list_topics(timeout=30).topics
    wanted = {
        (name, number)
        for name, topic in listed.items() if name.startswith(own)
        for number in topic.partitions
    }  # fmt: skip
    consumer.assign([TopicPartition(*one, OFFSET_BEGINNING) for one in wanted])
    found, count = set(), 0
    while wanted:
        for message in consumer.consume(1000, 1):
            if message.error() is not None:
                assert message.error().code() == KafkaError._PARTITION_EOF
                wanted.discard((message.topic(), message.partition()))
                continue
            count += 1
            parts = [message.key(), message.value(), repr(message.headers()).encode()]
            if has(b"\0".join(filter(None, parts)), markers):
                found.add(message.topic())
    consumer.close()
    assert count > 20
    return found


def objects_with(stack, *markers):
    """The objects that have one of the markers in their bytes, or in their decompressed columns."""
    store = object_store(stack.minio, stack.secrets, user="admin")
    found, count = set(), 0
    prefix = stack.minio.bronze_bucket.removesuffix("bronze")
    for bucket in store.list_buckets():
        if not bucket.name.startswith(prefix):
            continue
        for one in store.list_objects(bucket.name, recursive=True):
            count += 1
            content = store.get_object(bucket.name, one.object_name).read()
            texts = [content]
            if one.object_name.endswith(".parquet"):
                frame = pl.read_parquet(io.BytesIO(content), hive_partitioning=False)
                texts += [repr(frame.to_dicts()).encode()]
            if any(has(text, markers) for text in texts):
                found.add(f"{bucket.name}/{one.object_name}")
    assert count > 20
    return found


def has(content, markers):
    # As bytes in bronze's repr, and as JSON escapes it, a marker of ASCII is the same.
    return any(marker.encode() in content for marker in markers)


def tables_of(objects):
    return {name.split("/")[1] for name in objects}


def reconciled(stack, code=0):
    found = stack.run("reconcile", "--format", "json", check=False, timeout=900)
    assert found.returncode == code, found.stdout + found.stderr
    assert TOKEN not in found.stdout + found.stderr
    return {one["table"]: one for one in json.loads(found.stdout)["tables"]}


def settle_silver(stack):
    settle(stack)
    stack.run("consolidate", timeout=900)


def expected(stack, row):
    """A row of `people` as silver has it."""
    salt = stack.secrets["mask_salt"]
    of_row = {**row, ODD: row["odd"]}
    shown = {name: masked(mask, of_row.get(name), salt) for name, mask in MASKS.items()}
    return {"kept": row["kept"], "phone2": row["phone2"], **shown}


def assert_silver(stack, *rows):
    found = silver(stack, "people")
    names = {name: re.sub(r"\W", "_", name) for name in (*MASKS, "kept", "phone2")}
    assert found["id"].to_list() == [row["id"] for row in rows]
    for row, is_so in zip(rows, found.iter_rows(named=True), strict=True):
        assert {source: is_so[name] for source, name in names.items()} == expected(stack, row)


def test_no_masked_value_leaves_the_shop(shop):
    fourth = person(4, odd=f"{TOKEN}-default")
    with psycopg.connect(dsn(shop), autocommit=True) as connection:
        for table in ("people", "openly"):
            insert(connection, table, fourth, person(5), person(6))
            name = sql.Identifier(table).as_string()
            for statement in (
                f"update {name} set kept = 'new' where id in (1, 4)",  # not its large text
                f"update {name} set phone = '{TOKEN}-9999', padded = null where id = 3",
                f"update {name} set id = 7 where id = 6",
                f"delete from {name} where id = 5",
            ):
                connection.execute(statement.encode())
    rows = [
        person(1, kept="new"), person(2, **NOTHING), person(3, phone=f"{TOKEN}-9999", padded=None),
        {**fourth, "kept": "new"}, {**person(6), "id": 7},
    ]  # fmt: skip
    settle_silver(shop)
    assert_silver(shop, *rows)
    shop.run("extract", "people", "openly", "--full", timeout=600)
    settle_silver(shop)
    assert_silver(shop, *rows)
    tables = reconciled(shop)
    assert tables["people"]["source_rows"] == 5
    lake = Lake.of(shop.minio, shop.secrets, user="reader")
    described = contracts_of(lake)["people"].column("born").description
    assert described == "date. Masked in the shop: always null."
    markers = (TOKEN, REF, "2071150815", shop.secrets["mask_salt"])
    prefix = shop.connect.topic_prefix
    # Without a mask the same search finds the same values.
    assert topics_with(shop, *markers) == {f"{prefix}.public.openly", f"{prefix}.public.earlier"}
    found = tables_of(objects_with(shop, *markers))
    assert {"raw_openly", "openly", "openly_history", "raw_earlier"} <= found
    assert not {one for one in found if "people" in one or one == "contracts"}
    log = (shop.data_dir / "log" / "connect.log").read_bytes()
    assert b"masks.salt.password = ****" in log
    assert not has(log, markers)


@pytest.mark.long
def test_mask_applies_from_when_it_is_applied_and_older_rows_are_told(shop, contracts):
    write_file(contracts, "earlier", {"phone": "hash"})
    doctor = shop.run("doctor", check=False, timeout=300).stdout
    assert "does not mask earlier as the contract files say" in " ".join(doctor.split())
    told = " ".join(shop.run("connect", "apply").stdout.split())
    assert "Masks of earlier apply to changes from now on." in told
    assert "./pipeline extract earlier --full" in told
    assert "Masks of" not in shop.run("connect", "apply").stdout
    earlier = reconciled(shop, code=1)["earlier"]
    assert earlier["examples"] == {"different": [f"1 (phone, {NOT_MASKED})"]}
    shop.run("extract", "earlier", "--full", timeout=600)
    settle_silver(shop)
    assert reconciled(shop)["earlier"]["different"] == 0
    salt = shop.secrets["mask_salt"]
    assert silver(shop, "earlier")["phone"].to_list() == [
        masked("hash", f"{TOKEN}-0001", salt),
        None,
    ]
    run(shop, "alter table earlier rename phone to telephone")
    doctor = " ".join(shop.run("doctor", check=False, timeout=300).stdout.split())
    assert "earlier has no column 'phone', which is to be masked" in doctor
    refused = shop.run("connect", "apply", check=False)
    assert refused.returncode != 0
    told = " ".join(refused.stderr.split())
    assert f"{contracts}/earlier.yaml:2: earlier has no column 'phone'" in told.replace(
        "yaml: ", "yaml:"
    )
    (contracts / "earlier.yaml").write_text("columns:\n  phone: {mask: md5}")
    refused = shop.run("up", "connect", check=False).stderr
    assert "earlier.yaml:2: 'md5' is not possible" in " ".join(refused.split()).replace(
        "yaml: ", "yaml:"
    )
    (contracts / "earlier.yaml").unlink()
    run(shop, "drop table earlier")
    shop.run("connect", "apply")


@pytest.mark.long
def test_column_that_no_longer_is_a_text_does_not_pass(shop, contracts):
    """A table that is created after its masks, and is then changed."""
    write_file(contracts, "later", {"secret": "hash", "other": "keep-last-4"})
    assert "later.yaml:2: the shop has no table later" in " ".join(
        shop.run("connect", "apply").stderr.split()
    ).replace("yaml: ", "yaml:")
    secret = f'{{"later": "{TOKEN}"}}'
    run(
        shop,
        "create table later (id int primary key, secret bytea, other integer default 2071150815)",
        f"insert into later values (1, '{TOKEN}')",
        "alter table later alter secret type jsonb using null",
        f"insert into later values (2, '{secret}')",
    )
    settle_silver(shop)
    markers = (TOKEN, base64.b64encode(TOKEN.encode()).decode(), "2071150815")
    assert f"{shop.connect.topic_prefix}.public.later" not in topics_with(shop, *markers)
    doctor = " ".join(shop.run("doctor", check=False, timeout=300).stdout.split())
    assert "later.secret is of type jsonb: hash is for texts, which is to be masked" in doctor
    (contracts / "later.yaml").unlink()
    run(shop, "drop table later")
    shop.run("connect", "apply")


@pytest.mark.long
def test_masked_customers_are_cleaned_and_loaded(shop):
    shop.run("simulate", "--history", 1, "--orders", 60, timeout=600)
    settle_silver(shop)
    reconciled(shop)
    salt = shop.secrets["mask_salt"]
    with psycopg.connect(dsn(shop)) as connection:
        rows = connection.execute(
            "select customer_id, email, phone, birth_date from customers"
        ).fetchall()
    lake = Lake.of(shop.minio, shop.secrets, user="reader")
    found = pl.scan_delta(
        lake.uri("silver", "enriched_users"), storage_options=dict(lake.options)
    ).filter(pl.col("_deleted_at").is_null())  # some customers leave
    shown = {
        number: (email, phone, born)
        for number, email, phone, born in found.select(
            "customer_id", "email", "phone", "birth_date"
        ).collect().iter_rows()
    }  # fmt: skip
    assert shown == {
        number: (masked("hash", email, salt), masked("keep-last-4", phone, salt), None)
        for number, email, phone, _ in rows
    }
    assert len(rows) > 20
    with psycopg.connect(warehouse_dsn(shop.warehouse, shop.secrets, role="admin")) as connection:
        mart = dict(
            connection.execute("select customer_id, email from entity.customers").fetchall()
        )
    assert {number: email for number, (email, _, _) in shown.items()} == mart
    emails = [email for _, email, _, _ in rows if email and "@" in email]
    assert topics_with(shop, *emails) == set()
    assert objects_with(shop, *emails) == set()


@pytest.mark.parametrize("mask", [Mask.HASH, Mask.KEEP_LAST_4, Mask.NULL])
def test_sql_of_a_mask_equals_the_oracle(shop, mask):
    texts = [
        None,
        "",
        " ",
        "a",
        "abcd",
        "abcde",
        "é𝄞é𝄞é𝄞",
        "a  ",
        " a\tb\n ",
        "a\n",
        "****",
        "x" * 99,
    ]
    kind = masked_kind(kind_of("text", "b", is_array=False), mask)
    with psycopg.connect(dsn(shop)) as connection:
        connection.execute("select set_config(%s, %s, false)", [SALT_SETTING, "salt"])
        query = sql.SQL("select {} from unnest(%s::text[]) as u (v)").format(
            sql.SQL(kind.sql).format(c=sql.Identifier("v"))
        )
        found = [value for (value,) in connection.execute(query, [texts])]
    named = None if mask is Mask.NULL else mask
    assert found == [masked(named, text, "salt") for text in texts]
