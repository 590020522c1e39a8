"""Derived contracts as silver stores them, and the files in which a user changes them."""

from dataclasses import dataclass, field, fields, replace
from decimal import Decimal

import pytest

from batch import pipeline_run
from batch.catalogue.lake import lake_metrics
from batch.contracts import stored
from batch.contracts.derive import silver_names
from batch.contracts.stored import contracts_of, nameless, read_stored, refresh
from batch.pipeline_run import PipelineRun, consolidate
from batch.reconcile.history import Examples
from batch.reconcile.silver import compare_silver
from lakehouse.contracts import ENTITIES, OnSchemaChange
from lakehouse.contracts.files import file_text, read_files
from lakehouse.contracts.mapping import MappedEntity
from lakehouse.errors import AwayError, StopPipelineError, WrongArgumentError
from lakehouse.layers import Layer
from tests.unit.bronze_maker import RULES, customers, live, new_lake, order_lines, rows_of
from tests.unit.foreign_maker import catalog_row, foreign, modifier
from tests.unit.test_silver_replay import replayer

TENANTS = [
    catalog_row("tenants", "Id", "uuid", key=1),
    catalog_row("tenants", "plan", "text"),
    catalog_row("tenants", "fee", "numeric", modifier=modifier(8, 2)),
    catalog_row("tenants", "seats", "int4"),
    catalog_row("tenants", "secret", "text"),
]
ROW = {"plan": "Free", "fee": "0.00", "seats": 1, "secret": "s"}


@dataclass
class Shop:
    """A shop of some tables, in a folder's lake, with contract files."""

    folder: object
    patch: pytest.MonkeyPatch
    tables: dict = field(default_factory=dict)
    told: list = field(default_factory=list)

    def __post_init__(self):
        self.lake = new_lake(self.folder)
        self.files = self.folder / "contracts"
        self.files.mkdir()
        self.patch.setattr(stored, "shop_catalog", lambda _dsn: self.tables)
        self.run = PipelineRun(
            lake=self.lake, rules=RULES, limit=None, warehouse="", shop="shop",
            contract_files=self.files, on_progress=self.told.append,
        )  # fmt: skip

    def say(self, text, name="tenants.yaml"):
        (self.files / name).write_text(text)
        return self

    def source(self, table, row):
        """Where changes of a table come from, which only its key and its name decide."""
        return foreign(self.lake, self.contract(table), row)

    def contract(self, table):
        files = read_files(self.files)
        return refresh(self.lake, "shop", files, retention_hours=1)[table]

    def is_exact(self):
        reports = list(compare_silver(self.lake, RULES, Examples()))
        compared = [one for one in reports if one.is_compared and one.findings.rows]
        return bool(compared) and all(one.findings.is_exact for one in reports)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    return Shop(tmp_path, monkeypatch, {"tenants": TENANTS})


def test_table_without_a_contract_is_in_silver_with_no_code(shop):
    source = shop.source("tenants", ROW)
    source.change({"Id": "b1"}, "c").change({"Id": "b2"}, "c", fee="9.99")
    source.change({"Id": "b2"}, "u", plan="Pro").change({"Id": "b1"}, "d").land()
    (report,) = [one for one in shop.run.derived() if one.read]
    assert (report.entity, report.table, report.merged) == ("tenants", "tenants", 2)
    (row,) = live(shop.lake, "tenants")
    assert (row["Id"], row["plan"], row["fee"]) == ("b2", "Pro", Decimal("9.99"))
    assert len(rows_of(shop.lake, "tenants_history")) == 4
    assert shop.is_exact()
    assert sum(one.read for one in shop.run.silver(["tenants"])) == 0
    customers(shop.lake).change(1, "c").land()
    behind = {one.table.name: one.behind.count for one in lake_metrics(shop.lake, ["silver"])}
    assert behind["tenants"] == 0


def test_table_that_fails_stops_no_other(shop):
    shop.tables["zones"] = [catalog_row("zones", "n", "int8", key=1)]
    shop.say("columns: {}\non_retyped: stop")
    shop.source("zones", {}).change({"n": 1}, "c").land()
    shop.source("tenants", ROW).change({"Id": "b1"}, "c", seats="many").land()
    with pytest.raises(StopPipelineError, match=r"tenants\.seats holds 'many'"):
        shop.run.derived()
    assert [row["n"] for row in live(shop.lake, "zones")] == [1]


def test_each_table_that_stops_is_told_and_all_others_continue(shop):
    stopping = replace(ENTITIES["customers"], on_removed=OnSchemaChange.STOP)
    ours = {**ENTITIES, "customers": stopping}
    for module in (stored, pipeline_run):
        shop.patch.setattr(module, "ENTITIES", ours)
    shop.tables["zones"] = [catalog_row("zones", "n", "int8", key=1)]
    shop.say("on_retyped: stop")
    shop.source("zones", {}).change({"n": 1}, "c").land()
    shop.source("tenants", ROW).change({"Id": "b1"}, "c", seats="many").land()
    customers(shop.lake).change(1, "c", city=...).land()
    order_lines(shop.lake).change(1, "c").land()
    # Gold and the warehouse are not built: this run has none.
    with pytest.raises(StopPipelineError) as told:
        consolidate(shop.run)
    first, second = str(told.value).splitlines()
    assert first.startswith("customers lacks city in 1 changes")
    assert "lakehouse/contracts/shop/customers.yaml" in first
    assert second.startswith("tenants.seats holds 'many'")
    assert "CONTRACTS_DIR, tenants.yaml" in second
    assert len(live(shop.lake, "cleaned_sale_lines")) == len(live(shop.lake, "zones")) == 1


def test_store_that_is_away_is_told_once(shop):
    def away(*_arguments, **_options):
        asked.append(1)
        raise AwayError

    asked = []
    shop.patch.setattr(pipeline_run, "consolidate_silver", away)
    with pytest.raises(AwayError):
        shop.run.silver([])
    assert len(asked) == 1


def test_replay_of_a_table_that_the_shop_has_altered_asks_for_a_consolidation(shop, tmp_path):
    shop.source("tenants", ROW).change({"Id": "b1"}, "c").land()
    shop.run.derived()
    shop.tables["tenants"] = [*TENANTS, catalog_row("tenants", "since", "date")]
    altered = replayer(shop.lake, tmp_path, ranges={}, entity=shop.contract("tenants"))
    with pytest.raises(StopPipelineError, match=r"First apply it: \./pipeline consolidate"):
        altered.run()


def test_consolidation_refuses_a_wrong_file_first_and_takes_derived_tables_last(shop):
    shop.source("tenants", ROW).change({"Id": "b1"}, "c").land()
    customers(shop.lake).change(1, "c").land()
    shop.say("columns: {plam: {exclude: true}}")
    with pytest.raises(WrongArgumentError, match="no column 'plam'"):
        consolidate(shop.run, (Layer.SILVER,))
    assert shop.lake.open("silver", "enriched_users") is None
    shop.say("columns: {plan: {exclude: true}}")
    done = consolidate(shop.run, (Layer.SILVER,))
    assert [one.table for one in done.results if one.read] == ["enriched_users", "tenants"]


def test_contract_that_is_written_later_replaces_the_derived_one(shop, monkeypatch):
    derived = shop.contract("tenants")
    assert contracts_of(shop.lake)["tenants"] == derived
    written = replace(derived, silver="cleaned_tenants", is_derived=False)
    monkeypatch.setattr(stored, "ENTITIES", {**ENTITIES, "tenants": written})
    shop.tables.clear()
    assert contracts_of(shop.lake)["tenants"] is written
    assert shop.contract("tenants") is written
    assert "tenants" not in {one.table for one in read_stored(shop.lake)}


def test_stored_contract_is_used_while_the_shop_does_not_answer(shop):
    shop.source("tenants", ROW).change({"Id": "b1"}, "c").land()

    def away(_dsn):
        problem = "The shop's catalog cannot be read: the database does not answer"
        raise AwayError(problem, "Start it.")

    shop.patch.setattr(stored, "shop_catalog", away)
    assert sum(one.read for one in shop.run.derived()) == 1
    assert "are as stored: The shop's catalog cannot be read" in shop.told[0]
    assert contracts_of(shop.lake)["tenants"].is_derived


def test_same_contract_is_stored_once(shop):
    shop.contract("tenants")
    version = shop.lake.open("silver", "contracts").version()
    shop.contract("tenants")
    assert shop.lake.open("silver", "contracts").version() == version
    assert set(contracts_of(shop.lake)) == {*ENTITIES, "tenants"}


def test_table_that_the_shop_alters_is_rebuilt_with_its_new_columns(shop):
    source = shop.source("tenants", ROW)
    source.change({"Id": "b1"}, "c", seats=7).land()
    shop.run.derived()
    # Changes of the new columns come before anybody has looked at the catalog.
    source.change({"Id": "b2"}, "c", seats="many", colour="red").land()
    shop.run.derived()
    assert [row["rule"] for row in rows_of(shop.lake, "quarantine")] == ["seats_unreadable"]
    shop.tables["tenants"] = [
        *(row for row in TENANTS if row.column_name not in ("seats", "secret")),
        catalog_row("tenants", "seats", "text"),
        catalog_row("tenants", "colour", "text"),
    ]
    shop.contract("tenants")
    assert not shop.is_exact()
    shop.run.derived()
    rows = {row["Id"]: row for row in live(shop.lake, "tenants")}
    assert [(rows[key]["seats"], rows[key]["colour"]) for key in ("b1", "b2")] == [
        ("7", None), ("many", "red"),
    ]  # fmt: skip
    assert [row["secret"] for row in rows.values()] == ["s", "s"]
    assert rows_of(shop.lake, "quarantine") == []
    assert shop.is_exact()
    source.change({"Id": "b3"}, "c", colour="blue").land()
    shop.run.derived()
    assert shop.is_exact()


def test_table_without_a_primary_key_has_the_key_that_kafka_has_or_a_note(shop):
    shop.tables["log"] = [catalog_row("log", "n", "int8"), catalog_row("log", "line", "text")]
    shop.run.derived()
    assert any("log has no primary key" in told for told in shop.told)
    assert "log" not in contracts_of(shop.lake)
    names = {one.table: one.note for one in read_stored(shop.lake)}
    assert "bronze only" in names["log"]
    keyed = [catalog_row("log", "n", "int8", key=1), catalog_row("log", "line", "text")]
    shop.tables["log"] = keyed
    source = shop.source("log", {"line": "a"})
    shop.tables["log"] = [catalog_row("log", "n", "int8"), keyed[1]]
    source.change({"n": 1}, "c").land()
    shop.run.derived()
    assert [row["n"] for row in live(shop.lake, "log")] == [1]


def test_change_from_before_the_table_had_a_key_never_replaces_a_later_one(shop):
    source = shop.source("tenants", ROW)
    source.change({"Id": "b1"}, "c", plan="old")
    # Kafka puts it anywhere, at whatever offset.
    source.waiting[-1] |= {"key": None, "_partition": 1, "_offset": 900}
    source.next_offset = {0: 0, 1: 901}
    source.change({"Id": "b1"}, "u", plan="new")
    source.waiting[-1] |= {"_partition": 0, "_offset": 0}
    source.next_offset = {0: 1, 1: 901}
    source.land()
    shop.run.derived()
    assert [row["plan"] for row in live(shop.lake, "tenants")] == ["new"]
    assert [row["rule"] for row in rows_of(shop.lake, "quarantine")] == ["not_a_row_change"]
    assert shop.is_exact()


def test_file_excludes_renames_and_adds_rules(shop):
    shop.say("""
silver: customers_of_ours
columns:
  secret: {exclude: true}
  Id: {name: tenant_id}
  plan: {allowed_values: [Free, Pro], required: true}
  seats: {minimum: 1, maximum: 100, description: Seats that are paid for.}
on_retyped: stop
""")
    source = shop.source("tenants", ROW)
    for key, values in {
        "b1": {}, "b2": {"plan": "gold"}, "b3": {"seats": 101}, "b4": {"plan": "PRO"},
        "b5": {"plan": None},
    }.items():  # fmt: skip
        source.change({"Id": key}, "c", **values)
    source.land()
    shop.run.derived()
    rows = {row["tenant_id"]: row for row in live(shop.lake, "customers_of_ours")}
    assert {key: row["plan"] for key, row in rows.items()} == {"b1": "Free", "b4": "Pro"}
    assert "secret" not in rows["b1"]
    assert rows["b1"]["_extra"] is None
    rules = {row["row_key"]: row["rule"] for row in rows_of(shop.lake, "quarantine")}
    assert rules == {"b2": "plan_unknown", "b3": "seats_out_of_range", "b5": "plan_missing"}
    contract = contracts_of(shop.lake)["tenants"]
    assert contract.on_retyped is OnSchemaChange.STOP
    assert contract.column("seats").description == "Seats that are paid for."
    assert rows_of(shop.lake, "customers_of_ours_history")
    assert shop.is_exact()


def test_file_may_refer_to_columns_that_the_shop_has_dropped(shop):
    shop.say("columns: {secret: {exclude: true}, seats: {name: places}}")
    source = shop.source("tenants", ROW)
    source.change({"Id": "b1"}, "c").land()
    shop.run.derived()
    shop.tables["tenants"] = TENANTS[:3]
    source.change({"Id": "b1"}, "u", plan="Pro").land()
    shop.run.derived()
    (row,) = live(shop.lake, "tenants")
    assert (row["plan"], row["places"]) == ("Pro", 1)
    assert "secret" not in row
    assert shop.is_exact()


def test_table_may_be_excluded(shop):
    shop.say("exclude: true")
    shop.run.derived()
    assert "tenants" not in contracts_of(shop.lake)
    assert any("tenants: excluded by" in told for told in shop.told)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("columns:\n  plam: {required: true}", 2, "tenants has no column 'plam'"),
        ("columns:\n  plan: {name: fee}\n  fee: {name: plan}", 2, "the names are a cycle"),
        ("columns:\n  plan: {name: Fee}", 2, "plan and fee are both called"),
        ("columns:\n  plan: {}\n  plan: {}", 3, "plan is given twice, also in line 2"),
        ("columns:\n  plan:\n    minimum: 3", 3, "minimum has nothing to check: plan is of type"),
        ("columns:\n  seats:\n    allowed_values: [a]", 3, "allowed_values has nothing to check"),
        ("columns:\n  plan:\n    on_unknown: count", 3, "on_unknown has nothing to refer to"),
        ("columns:\n  plan:\n    maximal: 3", 3, "there is no 'maximal' in a contract"),
        ("columns:\n  Id:\n    mask: hash", 3, "Id identifies a row of tenants"),
        ("columns:\n  Id:\n    mask: null", 3, "Id identifies a row of tenants"),
        ("columns:\n  Id:\n    exclude: true", 3, "Id identifies a row of tenants"),
        ("columns:\n  plan:\n    mask: blur", 3, "'blur' is not possible"),
        ("columns:\n  plan:\n    type: integer", 3, "'integer' is not possible"),
        ("columns:\n  plan:\n    name: _offset", 3, "'_offset' is not a name of a column"),
        ("columns:\n  seats:\n    minimum: many", 3, "'many' is not a whole number"),
        ("columns: [plan]", 1, "expected `name: value`"),
        ("key: [plan]", 1, "Debezium orders the changes of tenants by Id"),
        ("key: [Id, plan]", 1, "Debezium orders the changes of tenants by Id"),
        ("key: [Id, plam]", 1, "tenants has no column 'plam'"),
        ("key: Id", 1, "'Id' is not a list of texts"),
        ("silver: cleaned_sales", 1, "silver/cleaned_sales is another table's"),
        ("on_removed: ask", 1, "'ask' is not possible"),
        ("exclude: maybe", 1, "'maybe' is not true or false"),
        ("a: [", 1, "not YAML"),
    ],
)
def test_wrong_file_is_refused_with_its_line_before_anything_starts(shop, text, line, problem):
    shop.say(text)
    shop.contract_before = [one.table for one in read_stored(shop.lake)]
    with pytest.raises(WrongArgumentError) as refused:
        shop.run.derived()
    told = str(refused.value)
    assert told.startswith(f"{shop.files / 'tenants.yaml'}:{line}: {problem}")
    assert not told.endswith(". ")
    assert read_stored(shop.lake) == []


def test_two_files_about_one_table_or_one_silver_table_are_refused(shop):
    shop.say("table: tenants", "a.yaml").say("table: tenants", "b.yaml")
    with pytest.raises(WrongArgumentError, match="is also about tenants"):
        read_files(shop.files)
    (shop.files / "b.yaml").unlink()
    shop.say("table: tenants\nsilver: both", "a.yaml").say("silver: Both", "users.yaml")
    shop.tables["users"] = [catalog_row("users", "id", "int8", key=1)]
    with pytest.raises(WrongArgumentError, match=r"users\.yaml:1: silver/Both is another table's"):
        shop.run.derived()


def test_written_file_changes_nothing(shop):
    odd = "a: b # c\n\"d'"
    shop.tables["tenants"] = [*TENANTS, catalog_row("tenants", odd, "text", comment="é: {x}")]
    contract = shop.contract("tenants")
    shop.say(file_text(contract))
    assert shop.contract("tenants") == contract
    shop.tables["users"] = [catalog_row("users", "id", "int8", key=1)]
    users = shop.contract("users")
    shop.say(file_text(users), "users.yaml")
    assert shop.contract("users") == users
    assert contract.column(silver_names([odd])[odd]).description.startswith("é: {x}")


def test_table_with_the_name_of_an_entity_that_it_is_not_is_told(shop):
    assert nameless(["orders", "tenants"]) == []
    mapped = ENTITIES | {"orders": MappedEntity(**shallow(ENTITIES["orders"]), mapped_from="buys")}
    shop.patch.setattr(stored, "ENTITIES", mapped)
    shop.tables["orders"] = [catalog_row("orders", "n", "int8", key=1)]
    assert shop.run.contracts()["orders"] is mapped["orders"]
    assert [one for one in shop.told if one.startswith("orders: in bronze only")]


def shallow(entity):
    return {one.name: getattr(entity, one.name) for one in fields(entity)}


def test_mapping_that_no_longer_fits_is_told_where_it_lasts(tmp_path, monkeypatch):
    def refuse(_dsn):
        problem = "invoice has no column 'void_on'"
        raise StopPipelineError(problem)

    monkeypatch.setattr(pipeline_run, "require_mapping_fits", refuse)
    told = []
    shop = Shop(tmp_path, monkeypatch)
    replace(shop.run, on_warning=told.append).contracts()
    assert told == ["invoice has no column 'void_on'"]
    assert not [words for words in shop.told if "invoice" in words]
