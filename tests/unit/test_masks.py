"""Masks: from a contract file to the connector, what is refused, and how bronze is compared."""

import hashlib
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.contracts.derive import derive, name_tables
from batch.extraction.deletes import without
from batch.reconcile.kinds import NOT_MASKED, kind_of, masked_kind
from batch.reconcile.tables import describe
from connectors.definition import render
from connectors.masks import checked, hindrances, masks_in, properties, read_masks
from lakehouse.cleaning import spelling
from lakehouse.contracts import ENTITIES, Mask
from lakehouse.contracts.files import read_files
from lakehouse.errors import WrongArgumentError
from lakehouse.settings import ConnectSettings, OltpSettings, StackSettings
from stack.doctor.capture import diagnose_masks
from stack.kafka.worker import Worker
from stack.paths import StackConfig
from tests.unit.foreign_maker import catalog_row
from tests.unit.reconcile_model import TABLE, faults, reconcile, shops

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
MASKS = st.dictionaries(
    st.from_regex(r"[a-z0-9_-]+", fullmatch=True),
    st.dictionaries(NAMES, st.sampled_from(Mask), min_size=1),
)
USERS = [
    catalog_row("users", "id", "int8", key=1),
    catalog_row("users", "E-mail, of work", "varchar"),
    catalog_row("users", "phone", "text"),
    catalog_row("users", "born", "date"),
    catalog_row("users", "facts", "jsonb"),
    catalog_row("users", "tags", "text", is_array=True, declared="text[]"),
    catalog_row("users", "mood", "mood", kind="e"),
    catalog_row("users", "ref", "uuid"),
]
LOGS = [
    catalog_row("logs", "line", "text", is_in_unique_index=True),
    catalog_row("logs", "note", "text"),
]
CATALOG = {
    "users": USERS,
    "logs": LOGS,
    "customers": [
        catalog_row("customers", c.source, "text") for c in ENTITIES["customers"].columns
    ],
}


def files_of(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return read_files(folder)


@given(masks=MASKS)
def test_whatever_columns_are_called_the_connector_s_masks_are_those_asked_for(masks):
    config = properties(masks, "${file:x:mask.salt}")
    assert masks_in(config) == masks
    assert bool(config) == bool(masks)
    # Connect gives `${…}` a meaning; the converter splits at `,`, `/` and `=`.
    text = config.get("masks.columns", "")
    assert re.fullmatch(r"(?:[\w.~%-]+/[\w.~%-]+=(?:hash|null|keep-last-4),?)*", text, re.ASCII)


def test_salt_is_a_placeholder_and_without_masks_nothing_is_configured(tmp_path):
    masks = {"users": {"phone": Mask.HASH}}
    file = tmp_path / "x.properties"
    plain, masked = (render(ConnectSettings(), OltpSettings(), file, m) for m in ({}, masks))
    assert "converters" not in plain
    added = {name: masked[name] for name in masked.keys() - plain.keys()}
    assert added == {
        "converters": "masks",
        "masks.type": "masks.ColumnMasks",
        "masks.columns": "public.users/phone=hash",
        "masks.salt.password": f"${{file:{file}:mask.salt}}",
    }
    inside = render(ConnectSettings(secrets_dir="/run/secrets"), OltpSettings(), file, masks)
    assert inside["masks.salt.password"] == "${directory:/run/secrets:mask_salt}"


def test_masks_that_are_possible_are_taken(tmp_path):
    text = """
columns:
  E-mail, of work: {mask: hash}
  phone: {mask: keep-last-4}
  born: {mask: null}
  facts: {mask: null}
  tags: {mask: null}
  mood: {mask: hash}
  ref: {mask: keep-last-4}
"""
    asked = checked(files_of(tmp_path, users=text), CATALOG)
    assert asked.unknown == ()
    assert asked.masks["users"]["born"] is Mask.NULL
    assert len(asked.masks["users"]) == 7


def test_without_masks_the_shop_is_not_asked(tmp_path):
    files_of(tmp_path, users="columns: {phone: {required: true}}")
    assert read_masks(tmp_path, "host=nowhere.invalid").masks == {}
    assert read_masks(tmp_path / "nothing", "host=nowhere.invalid").masks == {}


@pytest.mark.parametrize(
    ("table", "text", "line", "problem"),
    [
        ("users", "columns:\n  fone: {mask: hash}", 2, "users has no column 'fone'"),
        ("users", "columns:\n  Phone: {mask: hash}", 2, "users has no column 'Phone'"),
        ("users", "columns:\n  id: {mask: hash}", 2, "id identifies a row of users"),
        ("users", "columns:\n  born:\n    mask: hash", 3, "users.born is of type date: hash is"),
        ("users", "columns: {facts: {mask: keep-last-4}}", 1, "users.facts is of type jsonb"),
        ("users", "columns: {tags: {mask: hash}}", 1, "users.tags is of type text[]: hash is"),
        ("users", "columns:\n  phone:\n    mask: md5", 3, "'md5' is not possible"),
        ("logs", "columns: {line: {mask: hash}}", 1, "line identifies a row of logs"),
        ("customers", "columns:\n  phone: {name: tel}", 2, "customers has a contract in lake"),
        ("customers", "on_removed: stop", 1, "customers has a contract in lakehouse/contracts/sh"),
        ("customers", "columns:\n  email: {mask: null}", 2, "customers requires a value of email"),
        ("customers", "columns: {country: {mask: hash}}", 1, "customers requires country to be"),
        ("customers", "columns: {customer_id: {mask: null}}", 1, "customer_id identifies a row"),
    ],
)
def test_mask_that_is_not_possible_is_refused_with_file_and_line(
    tmp_path, table, text, line, problem
):
    with pytest.raises(WrongArgumentError) as refused:
        checked(files_of(tmp_path, **{table: text}), CATALOG)
    told = str(refused.value)
    assert told.startswith(f"{tmp_path / table}.yaml:{line}: {problem}")
    if "hash is" in problem or "jsonb" in problem:
        assert told.endswith("Write `mask: null`.")


def test_table_that_does_not_exist_yet_is_told_and_masked_once_it_is_there(tmp_path):
    asked = checked(files_of(tmp_path, later="columns:\n  a: {mask: hash}"), CATALOG)
    assert asked.masks == {"later": {"a": Mask.HASH}}
    (told,) = asked.unknown
    assert told.startswith(f"{tmp_path}/later.yaml:2: the shop has no table later.")


def test_masks_of_a_contract_written_in_python_are_those_it_can_live_with(tmp_path):
    text = "columns: {email: {mask: hash}, phone: {mask: keep-last-4}, birth_date: {mask: null}}"
    assert len(checked(files_of(tmp_path, customers=text), CATALOG).masks["customers"]) == 3


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("mask: hash, allowed_values: [a]", "allowed_values has nothing to check: phone is masked"),
        ("mask: null, required: true", "users requires a value of phone"),
    ],
)
def test_rule_that_a_mask_makes_void_is_refused(tmp_path, fields, problem):
    files = files_of(tmp_path, users=f"columns: {{phone: {{{fields}}}}}")
    contract = derive(USERS, name_tables(["users"], {})["users"])
    with pytest.raises(WrongArgumentError, match=problem):
        files["users"].applied(contract)


def test_silver_says_how_a_column_is_masked_once(tmp_path):
    contract = derive(USERS, name_tables(["users"], {})["users"])
    file = files_of(tmp_path, users="columns: {phone: {mask: hash, required: true}}")["users"]
    once = file.applied(contract)
    assert once.column("phone").description == "text. Masked in the shop: a salted hash."
    assert once.column("phone").required
    assert file.applied(once).column("phone").description == once.column("phone").description


MASKED_VALUES = st.one_of(
    st.binary(max_size=9).map(lambda raw: hashlib.sha256(raw).hexdigest()),
    st.text(min_size=5).map(lambda text: "*" * (len(text) - 4) + text[-4:]),
)


@given(value=MASKED_VALUES)
def test_cleaning_keeps_what_was_masked(value):
    assert spelling.email(value) == spelling.name(value) == spelling.phone(value, "CH") == value
    assert spelling.person_key(value, "2000-01-01")


def test_masked_values_are_not_quarantined(monkeypatch):
    assert spelling.email("not an address") is None
    assert spelling.phone("12", "CH") is None


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_value_from_before_a_mask_is_never_shown(text):
    frame = pl.DataFrame({"v": [text, None]}, schema={"v": pl.String})
    kind = kind_of("text", "b", is_array=False)
    for mask in Mask:
        found = frame.select(shown=masked_kind(kind, mask).canonical(pl.col("v")))
        shown, nothing = found["shown"]
        assert nothing is None
        if not re.fullmatch(r"[0-9a-f]{64}|\**|\*+.{4}", text, re.DOTALL):
            assert shown == NOT_MASKED


@settings(max_examples=settings.default.max_examples // 7)
@given(shop=shops(actions=("write",)), mask=st.sampled_from(Mask))
def test_rows_that_were_captured_before_a_mask_are_told_as_such_without_their_values(shop, mask):
    rows = [
        catalog_row("things", "id", "int8", key=1), catalog_row("things", "v", "text"),
        catalog_row("things", "version", "int8"),
    ]  # fmt: skip
    table = replace(describe(rows, {"v": mask}), is_versioned=True)
    masked = {"hash": hashlib.sha256(b"").hexdigest(), "keep-last-4": "*****1234", "null": None}
    plain = {key: (masked[mask], version) for key, (_, version) in shop.rows.items()}
    found = reconcile(replace(shop, rows=plain), table=table)
    assert found.different.count == len(shop.rows)
    for example in found.different.examples:
        assert example.endswith(f" (v, {NOT_MASKED})")
        assert "value" not in example
    masks_applied = tuple(
        replace(c, value=masked[mask], old_value=masked[mask]) for c in shop.changes
    )
    after = replace(shop, rows=plain, changes=masks_applied)
    assert faults(reconcile(after, table=table)) == ({}, set())
    assert reconcile(shop, table=TABLE).is_exact


def test_deletes_that_we_write_have_no_value_of_a_masked_column():
    change = {"before": None, "after": {"id": 1, "phone": "123", "n": 2}, "op": "c"}
    left = json.loads(without(json.dumps(change).encode(), ["phone", "gone"]))
    assert left == {**change, "after": {"id": 1, "phone": None, "n": 2}}


def verdicts(files, applied, catalog=CATALOG):
    return [(one.verdict.value, one.words) for one in diagnose_masks(files, applied, catalog)]


def test_doctor_tells_what_is_not_masked_as_asked(tmp_path):
    files = files_of(tmp_path, users="columns: {phone: {mask: hash}}")
    masks = {"users": {"phone": Mask.HASH}}
    assert verdicts(files, masks) == [("fine", "1 columns are masked, as contract files say")]
    (unapplied,) = verdicts(files, {})
    assert unapplied[0] == "wrong"
    assert "does not mask users as the contract files say" in unapplied[1]
    renamed = [replace(r, column_name="tel") if r.column_name == "phone" else r for r in USERS]
    (gone,) = verdicts(files, masks, {"users": renamed})
    assert gone == ("wrong", "users has no column 'phone', which is to be masked")
    retyped = [replace(r, declared="xml", type_name="xml") for r in USERS]
    assert verdicts(files, masks, {"users": retyped})[0][0] == "wrong"
    assert verdicts(files, masks, {})[0][0] == "note"
    assert hindrances(masks, CATALOG) == []


def test_worker_s_file_has_password_and_salt(tmp_path):
    written = {}
    user = SimpleNamespace(
        make_private_dir=lambda _: None,
        write_private=lambda path, text: written.update({path: text}),
    )
    config = StackConfig(stack=StackSettings(data_dir=tmp_path))
    worker = Worker(config=config, secrets={"oltp_debezium": "p\\n", "mask_salt": "q"}, user=user)
    worker.prepare()
    assert written[config.stack.connect_secrets_path] == "debezium.password=p\\\\n\nmask.salt=q\n"
