"""Which changes break a rule: asked of suspects alone, the rules say what they say of all."""

from datetime import UTC, date, datetime, timedelta
from functools import cache

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.cleaning.plan import Plan
from lakehouse.cleaning.transforms.clean import cleaned_columns, raw
from lakehouse.cleaning.transforms.validate import BROKEN, SUSPECT, flag_suspects, validate
from lakehouse.cleaning.typed import Calendar
from lakehouse.cleaning.validator import Validator
from lakehouse.contracts import ENTITIES, Type

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
SKEW = timedelta(minutes=5)
TIMESTAMP = pl.Datetime("us", "UTC")
KINDS = {
    Type.TEXT: (pl.String, ["", " ", "x", "EUR", "placed"]),
    Type.INTEGER: (pl.Int64, [-1, 0, 1, 5, 10**12]),
    Type.CENTS: (pl.Int64, [-1, 0, 1999, 10**12]),
    Type.RATE: (pl.Int64, [-1, 0, 100_000_000, 10**15]),
    Type.DEGREES: (pl.Float64, [-200.0, 0.0, 48.85, 91.0]),
    Type.BOOLEAN: (pl.Boolean, [True, False]),
    Type.TIMESTAMP: (TIMESTAMP, [AT + timedelta(minutes=m) for m in (-9000, 0, 4, 6, 9000)]),
    Type.DATE: (pl.Date, [date(1900, 1, 1), date(2026, 11, 26), date(2026, 11, 27)]),
}


def frame_of(entity, draw, *, sound):
    """Rows as `clean` leaves them: anything at all, or what the contract asks for."""
    rows = draw(st.integers(1, 6))

    def column(kind, values):
        return pl.Series([draw(values) for _ in range(rows)], dtype=kind)

    given_ = {
        "_operation": column(pl.String, st.sampled_from(["c"] if sound else [*"crud", None])),
        "_unreadable": column(pl.String, st.none() if sound else names_of(entity)),
        "_beyond": column(pl.String, st.none() if sound else names_of(entity)),
        "_as_of_date": column(pl.Date, st.just(AT.date())),
        "_committed_at": column(TIMESTAMP, st.just(AT) if sound else st.sampled_from([AT, None])),
    }
    for field in entity.columns:
        kind, values = KINDS[field.type]
        given_[field.name] = column(kind, st.sampled_from([None, *values]))
    for name in cleaned_columns(entity):
        given_[raw(name)] = column(pl.String, st.sampled_from([None, "", " ", "x"]))
    return pl.DataFrame(given_)


def names_of(entity):
    names = st.lists(st.sampled_from([c.name for c in entity.columns]), max_size=2, unique=True)
    return names.map(lambda found: ",".join(found) or None)


@cache
def tools(table):
    """Made once: to put their expressions together takes longer than to run them."""
    entity = ENTITIES[table]
    validator = Validator(entity=entity, calendar=Calendar(time_zone="UTC"), clock_skew=SKEW)
    mark = Plan(lambda frames: flag_suspects(frames["changes"], entity, clock_skew=SKEW))
    ask_all = Plan(lambda frames: validate(frames["changes"], entity, clock_skew=SKEW))
    return validator, mark, ask_all


@pytest.mark.parametrize("table", ENTITIES)
@settings(max_examples=settings.default.max_examples // 5)
@given(data=st.data())
def test_verdict_is_what_all_rules_say_of_all_changes(table, data):
    validator, mark, ask_all = tools(table)
    changes = frame_of(ENTITIES[table], data.draw, sound=data.draw(st.booleans()))
    found = validator._with_verdicts(mark.run({"changes": changes}))
    asked = ask_all.run({"changes": changes})
    assert found[BROKEN].to_list() == asked[BROKEN].to_list()


def test_change_that_breaks_nothing_is_no_suspect():
    """Or the rules would be asked of all."""
    entity = ENTITIES["order_lines"]
    sound = {
        "order_line_id": 1, "order_id": 1, "line_number": 1, "product_id": 1,
        "warehouse_code": "FR-LIL", "quantity": 2, "unit_price_cents": 500,
        "line_total_cents": 1000, "created_at": AT, "updated_at": AT, "version": 1,
        "raw:warehouse_code": "FR-LIL", "_operation": "c", "_committed_at": AT,
        "_as_of_date": AT.date(),
    }  # fmt: skip
    changes = pl.DataFrame([sound, {**sound, "quantity": None}]).with_columns(
        _unreadable=pl.lit(None, pl.String), _beyond=pl.lit(None, pl.String)
    )
    marked = flag_suspects(nw.from_native(changes), entity, clock_skew=SKEW).to_native()
    assert marked[SUSPECT].to_list() == [False, True]
