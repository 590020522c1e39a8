"""How single changes are read, cleaned and validated."""

import json
import re
import unicodedata
from decimal import Decimal, localcontext
from itertools import pairwise, product

import narwhals as nw
import orjson
import polars as pl
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lakehouse.cleaning import envelope as envelope_parser
from lakehouse.cleaning import spelling
from lakehouse.cleaning.envelope import Columns, read_envelopes
from lakehouse.cleaning.spellings import spell
from lakehouse.cleaning.transforms.clean import SPELLED
from lakehouse.cleaning.transforms.latest import latest, versions
from lakehouse.cleaning.transforms.unchanged import fill_unchanged
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.cleaning.typed import Calendar, _instant, _scaled
from lakehouse.contracts import ENTITIES, Cleaning, OnSchemaChange, Type
from lakehouse.contracts.model import (
    FIRST_DAY,
    FIRST_TIMESTAMP,
    LAST_DAY,
    LAST_TIMESTAMP,
    MASKED,
    UNKNOWN,
)
from lakehouse.errors import StopPipelineError
from tests.unit.bronze_maker import RULES, customers, new_lake, order_lines

CUSTOMERS = ENTITIES["customers"]
COLUMNS = Columns(key=("id",), wanted={name: name for name in ("id", "name", "version")})


def envelope(**after):
    return orjson.dumps({"op": "c", "before": None, "after": after, "source": {"lsn": 1}})


def validated(source, entity=None):
    entity = entity or source.entity
    return RULES.validator(entity).validate(source.records(), lambda _: source.records())


def broken(source, entity=None):
    return validated(source, entity).sort("_partition", "_offset")[BROKEN].to_list()


@given(st.decimals(-(10**15), 10**15, places=2))
def test_amounts_are_read_to_the_cent(amount):
    read = pl.select(_scaled(pl.lit(f"{amount:f}"), 2)).item()
    assert read == int(amount * 100)


@given(st.decimals(0, 10**9, places=8))
def test_rates_are_read_to_their_last_digit(rate):
    assert pl.select(_scaled(pl.lit(f"{rate:f}"), 8)).item() == int(rate * 10**8)


@given(st.lists(st.text("0129-+:. TZ", max_size=3), min_size=1), st.integers(0, 27))
@example(["2024-11-01T00:00:00.000000Z"], 0)
@example(["--946-06-05T13:30:22.504473Z"], 0)
@example(["2024-11-01T00:00:00Z", "2024-02-30T00:00:00.000000Z"], 0)
def test_timestamp_of_the_usual_length_is_read_as_any_other(parts, at):
    usual = "2024-01-02T03:04:05.678901Z"
    texts = pl.Series([usual[:at] + part + usual[at + len(part) :] for part in parts] + parts)
    read = texts.to_frame("t").select(
        _instant(pl.col("t")),
        slow=pl.col("t").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
        .dt.replace_time_zone("UTC"),
    )  # fmt: skip
    held = read["slow"].is_between(FIRST_TIMESTAMP, LAST_TIMESTAMP).fill_null(value=False)
    assert read["t"].to_list() == read["slow"].set(~held, None).to_list()


@pytest.mark.parametrize("text", ["1.999", "NaN", "1e3", "", "--1", "1,5", "9" * 20])
def test_what_is_no_amount_is_not_guessed_at(text):
    assert pl.select(_scaled(pl.lit(text), 2)).item() is None


@given(
    sign=st.sampled_from(["", "-"]), whole=st.text("0123456789", min_size=1, max_size=18),
    fraction=st.text("0123456789", max_size=10), zeros=st.integers(0, 60),
    digits=st.sampled_from([2, 8]),
)  # fmt: skip
def test_decimal_is_whole_digits_or_nothing_and_trailing_zeros_are_none(
    sign, whole, fraction, zeros, digits
):
    point = "." if fraction or zeros else ""
    text = f"{sign}{whole}{point}{fraction}{'0' * zeros}"
    with localcontext(prec=100):
        units = Decimal(text).scaleb(digits)
    is_read = len(whole) <= 16 and units == int(units) and abs(units) < 2**63
    found = pl.select(_scaled(pl.lit(text), digits)).item()
    assert found == (int(units) if is_read else None)


@pytest.mark.parametrize(
    "value",
    [b"not json", b"[1]", b'"text"', b"3", b'{"op":"c"}\n{"op":"c"}', b'{"op":"c","after":7}',
     b'{"op":"x","after":{"id":1}}', b'{"op":1}', b"{}", b""],
)  # fmt: skip
def test_record_that_is_no_change_is_told_apart_and_spoils_no_other(value):
    good = envelope(id=1, name="a", version=1)
    read = read_envelopes(pl.Series([good, value, good]), COLUMNS)
    assert read["_operation"].to_list() == ["c", None, "c"]
    assert read["name"].to_list()[::2] == ["a", "a"]


def test_record_of_two_lines_does_not_make_up_for_an_empty_one():
    values = [b"", envelope(id=1), b'{"op":"c"}\n{"op":"c"}']
    read = read_envelopes(pl.Series(values), COLUMNS)
    assert read["id"].to_list() == [None, "1", None]


@settings(max_examples=60)
@given(st.lists(st.one_of(st.binary(max_size=30), st.just(None),
       st.builds(lambda n: envelope(id=n, name="x", version=1), st.integers(0, 9)))))  # fmt: skip
def test_every_record_becomes_one_row_whatever_it_holds(values):
    read = read_envelopes(pl.Series(values, dtype=pl.Binary), COLUMNS)
    assert read.height == len(values)
    for value, operation in zip(values, read["_operation"], strict=True):
        assert operation == ("c" if value and value.startswith(b'{"op":"c","before"') else None)


WRITTEN = st.recursive(
    st.sampled_from([
        b"null", b"true", b"-0.0", b"1e400", b"NaN", b"9223372036854775808", b"1" * 40, b'""',
        b"18446744073709551616", b"-9223372036854775808", rb'"\ud800"', rb'"\ud83d\ude00"',
        rb'"\\ud800"', rb'"\\\ud83d\ude00"', rb'"\u0000"', b'"\xff"', b'"\xed\xa0\x80"', b'"x',
    ]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: b"[%s]" % b",".join(found)),
        inner.map(lambda found: b'{"a":%s}' % found),
    ),
    max_leaves=3,
)  # fmt: skip
"""What somebody might write as a value into a record, JSON or not."""


@settings(max_examples=settings.default.max_examples // 2)
@given(written=st.lists(st.tuples(st.sampled_from(["name", "new", "source"]), WRITTEN), min_size=2,
                        max_size=4))  # fmt: skip
@example([("source", b"true"), ("name", b'"a"')])
@example([("new", rb'"\ud800"'), ("name", b"1e400")])
@example([("new", b"18446744073709551616"), ("name", b"NaN")])
def test_record_is_read_alike_whatever_stands_beside_it(written):
    """By one parser or the other, and neither ends the run."""
    values = []
    for where, value in written:
        parts = {"name": b'"a"', "new": b"1", "source": b"1"} | {where: value}
        values.append(
            b'{"before":null,"after":{"id":1,"name":%(name)s,"version":1,"new":%(new)s},'
            b'"source":{"lsn":%(source)s,"txId":1,"ts_us":1},"op":"c"}'
            % {name.encode(): part for name, part in parts.items()}
        )
    alone = [read_envelopes(pl.Series([one]), COLUMNS).row(0) for one in values]
    for most_bytes in (envelope_parser._SLICE_BYTES, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(envelope_parser, "_SLICE_BYTES", most_bytes)
            assert read_envelopes(pl.Series(values), COLUMNS).rows() == alone


def test_no_slice_of_records_that_are_parsed_together_is_much_larger_than_the_limit(monkeypatch):
    monkeypatch.setattr(envelope_parser, "_SLICE_BYTES", 10)
    lines = pl.Series(["a" * 4, "b" * 4, "c" * 30, "d", "e" * 4, "f" * 4, "g" * 4], dtype=pl.String)
    slices = [some.to_list() for some in envelope_parser._in_slices(lines)]
    assert [line for some in slices for line in some] == lines.to_list()
    assert max(len("".join(some[1:])) for some in slices) <= 10
    assert [some.to_list() for some in envelope_parser._in_slices(lines.clear())] == [[]]


def test_json_on_several_lines_is_read_like_any_other():
    pretty = json.dumps(orjson.loads(envelope(id=1, name="a", version=1)), indent=2).encode()
    assert read_envelopes(pl.Series([pretty]), COLUMNS)["name"].to_list() == ["a"]


def test_column_that_the_contract_does_not_know_is_carried_on():
    values = [envelope(id=1, name="a", version=1),
              envelope(id=2, name="b", version=1, colour="red", size=[1, 2])]  # fmt: skip
    extra = read_envelopes(pl.Series(values), COLUMNS)["_extra"].to_list()
    assert extra[0] is None
    assert orjson.loads(extra[1])["colour"] == "red"
    assert "1" in orjson.loads(extra[1])["size"]


EXTRA = [
    envelope(id=1, name="a", version=1),
    envelope(id=2, name="b", version=1, size=[1, "é"], colour="red"),
    envelope(id=3, name="c", version=1, size=True, colour=None),
    envelope(id=4, name="d", version=1, weight=1.5, quote='"\\\n{'),
    envelope(id=5, colour="blue", name="e", version=1),
    orjson.dumps({"op": "d", "before": {"id": 5}, "after": None, "source": {"lsn": 1}}),
]


ODD = 'a.b\\ "c",^$*'


@given(values=st.lists(st.sampled_from([1, None, True, "x", 'a"b},{"source', ["a", "]"], {"a": 1}])
       | st.text(), min_size=2, max_size=2), new=st.booleans(), names=st.permutations([ODD, "id"]),
       other=st.booleans())  # fmt: skip
def test_column_of_any_name_is_read_and_is_not_taken_for_another(values, new, names, other):
    columns = Columns(key=("id",), wanted={ODD: "text:odd", "id": "text:id"}, excluded=("gone",))
    after = dict(zip(names, values, strict=True)) | {"gone": "x"} | ({"n]w": 7} if new else {})
    records = [orjson.dumps({"op": "c", "after": after, "source": {"lsn": 1}})]
    records += [orjson.dumps({"op": "c", "after": {"id": 1}, "source": {}})] * other
    read = read_envelopes(pl.Series(records), columns)
    for name, value in after.items():
        if name in columns.wanted and (value is None or isinstance(value, str)):
            assert read[columns.wanted[name]][0] == value
    assert read["_extra"][0] == ('{"n]w":"7"}' if new else None)


@given(order=st.permutations(range(len(EXTRA))), cuts=st.sets(st.integers(1, 6)),
       garbage=st.sampled_from([b"not json", b"[1]", b"3", b'{"after":7}', b"\xff", b"", b"{"]),
       spoiled=st.sets(st.integers(0, 6)))  # fmt: skip
def test_unknown_columns_of_a_record_depend_on_no_other_record(order, cuts, garbage, spoiled):
    found = {}
    edges = [0, *sorted(cuts), len(order)]
    for number, (start, stop) in enumerate(pairwise(edges)):
        places = order[start:stop]
        values = [EXTRA[partition] for partition in places] + [garbage] * (number in spoiled)
        read = read_envelopes(pl.Series(values, dtype=pl.Binary), COLUMNS)["_extra"].to_list()
        found |= dict(zip(places, read, strict=False))
    assert found == {
        0: None,
        1: r'{"colour":"red","size":"[1, \"é\"]"}',
        2: '{"size":"true"}',
        3: r'{"quote":"\"\\\n{","weight":"1.5"}',
        4: '{"colour":"blue"}',
        5: None,
    }


def test_quarantined_rules_are_named_in_the_contract_s_order(tmp_path):
    source = customers(new_lake(tmp_path))
    source.change(1, "c", email="x@@y", birth_date=99_000, region=" ")
    assert broken(source) == ["email_invalid,birth_date_in_future,region_missing"]


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"quantity": -2}, "quantity_out_of_range"),
        ({"quantity": 99_999, "line_total_amount": "998990.01"}, "quantity_out_of_range"),
        ({"quantity": None}, "quantity_missing"),
        ({"quantity": "many"}, "quantity_unreadable"),
        ({"line_total_amount": "19.97"}, "line_total_adds_up"),
        ({"unit_price_amount": "9.999"}, "unit_price_cents_unreadable"),
        ({"warehouse_code": "  "}, "warehouse_code_missing"),
        ({"warehouse_code": ""}, "warehouse_code_missing"),
        ({"created_at": "2099-01-01T00:00:00.000000Z"}, "created_at_in_future"),
        ({"updated_at": "2031-01-01T00:00:00.000000Z"}, "updated_at_in_future"),
        ({"updated_at": "yesterday"}, "updated_at_unreadable"),
        ({"updated_at": "infinity"}, "updated_at_out_of_range"),
        ({"created_at": "0000-12-31T23:00:00.000000Z"}, "created_at_out_of_range"),
        ({"created_at": "-4712-01-01T00:00:00.000000Z"}, "created_at_out_of_range"),
        ({"created_at": "+294276-12-31T23:59:59.999999Z"}, "created_at_out_of_range"),
        ({"line_number": 2**63}, "line_number_out_of_range"),
        ({"line_total_amount": "NAN"}, "line_total_cents_out_of_range"),
        ({"line_total_amount": "92233720368547758.08"}, "line_total_cents_out_of_range"),
        ({"warehouse_code": "é" * 201}, "warehouse_code_too_long"),
    ],
)
def test_each_fault_of_a_line_is_named(tmp_path, values, rule):
    source = order_lines(new_lake(tmp_path), partitions=1)
    source.change(1, "c").change(2, "c", **values)
    first, second = broken(source)
    assert first is None
    assert second.split(",")[0] == rule


@pytest.mark.parametrize("day", [-719_163, 2_932_897, 2_146_033_979, -2_147_472_691])
def test_day_beyond_the_calendar_is_told_from_one_that_cannot_be_read(tmp_path, day):
    source = customers(new_lake(tmp_path), partitions=1)
    source.change(1, "c", birth_date=day).change(2, "c", birth_date="born")
    assert broken(source) == ["birth_date_out_of_range", "birth_date_unreadable"]


def test_length_of_a_text_counts_as_it_is_stored_in_bytes(tmp_path):
    source = order_lines(new_lake(tmp_path), partitions=1)
    source.change(1, "c", warehouse_code="  " + "é" * 200 + "  ")
    source.change(2, "c", warehouse_code="é" * 200 + "x")
    assert broken(source) == [None, "warehouse_code_too_long"]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Paris"])
def test_ends_of_the_calendar_have_a_day_of_it_in_every_time_zone(zone):
    ends = pl.Series([FIRST_TIMESTAMP, LAST_TIMESTAMP])
    days = pl.select(Calendar(time_zone=zone).day(pl.lit(ends))).to_series()
    assert days.min() > FIRST_DAY
    assert days.max() <= LAST_DAY


@pytest.mark.parametrize("committed", [None, -(2**63), 2**63 - 1, 10**18])
def test_change_that_was_committed_at_no_time_that_we_can_hold_is_quarantined(tmp_path, committed):
    """A delete, too: its row is marked with that time."""
    source = customers(new_lake(tmp_path), partitions=1)
    for op in "cd":
        source.change(1, op)
        record = orjson.loads(source.waiting[-1]["value"])
        record["source"]["ts_us"] = committed
        source.waiting[-1]["value"] = orjson.dumps(record)
    assert broken(source) == ["committed_at_unreadable", "committed_at_unreadable"]


ANY_TEXT = st.text(st.characters(max_codepoint=127)) | st.text()


@given(text=ANY_TEXT)
@example(text=" a \t b\x7f ")
@example(text="e\u0301")
def test_plain_text_has_the_spaces_that_any_text_has(text):
    composed = unicodedata.normalize("NFC", text)
    visible = (" " if c.isspace() else c for c in composed)
    kept = "".join(c for c in visible if unicodedata.category(c) not in ("Cc", "Cf"))
    assert spelling.spaces(text) == (re.sub(r"\s+", " ", kept).strip() or None)


@given(text=ANY_TEXT)
def test_text_without_an_at_sign_is_no_address(text):
    address = text.replace("@", "").strip()
    assume(not MASKED.fullmatch(address))
    with pytest.raises(EmailNotValidError):
        validate_email(address, check_deliverability=False, allow_smtputf8=True)
    assert spelling.email(address) is None


def test_no_text_of_a_contract_is_taken_as_it_is():
    """Cleaning leaves out NUL, which no Postgres can store."""
    assert spelling.spaces("a\0b") == "ab"
    for entity in ENTITIES.values():
        kinds = {c.cleaning for c in entity.columns if c.type is Type.TEXT}
        assert Cleaning.NONE not in kinds


def test_clock_of_a_source_may_be_a_little_ahead(tmp_path):
    source = order_lines(new_lake(tmp_path), partitions=1)
    source.change(1, "c", updated_at="2026-03-01T12:05:00.000000Z")
    source.change(2, "c", updated_at="2026-03-01T13:00:00.000000Z")
    source.change(3, "c", created_at="2026-03-01T12:08:00.000000Z")
    source.change(4, "c", created_at="2026-03-01T12:10:00.000000Z")
    assert broken(source) == [None, "updated_at_in_future", None, "created_at_in_future"]


def test_delete_needs_nothing_but_its_key(tmp_path):
    source = customers(new_lake(tmp_path)).change(1, "c", email="x").change(1, "d")
    assert broken(source) == ["email_invalid", None]


def test_phone_that_is_no_number_is_left_out_and_the_row_stays(tmp_path):
    source = customers(new_lake(tmp_path)).change(1, "c", phone="call me")
    frame = validated(source)
    assert frame[BROKEN].to_list() == [None]
    assert frame["phone"].to_list() == [None]


@pytest.mark.parametrize(
    ("policy", "rule"),
    [(OnSchemaChange.IGNORE, "city_missing"), (OnSchemaChange.EVOLVE, None)],
)
def test_removed_column_is_quarantined_or_taken_as_absent(tmp_path, policy, rule):
    entity = changed("customers", on_removed=policy)
    source = customers(new_lake(tmp_path)).change(1, "c", city=...)
    assert broken(source, entity) == [rule]


def test_removed_column_stops_the_run_if_the_contract_says_so(tmp_path):
    source = customers(new_lake(tmp_path)).change(1, "c", city=...)
    with pytest.raises(StopPipelineError, match=r"customers.*city.*contract"):
        validated(source, changed("customers", on_removed=OnSchemaChange.STOP))


def test_retyped_column_evolves_is_quarantined_or_stops_the_run(tmp_path):
    source = order_lines(new_lake(tmp_path)).change(1, "c", line_number="first", gift_note="hi")
    source.change(2, "c", gift_note="ho").change(3, "c")
    assert sorted(map(str, broken(source))) == ["None", "None", "line_number_unreadable"]
    entity = changed("order_lines", on_retyped=OnSchemaChange.EVOLVE,
                     on_removed=OnSchemaChange.EVOLVE)  # fmt: skip
    frame = validated(source, entity).sort("_offset")
    assert frame[BROKEN].to_list() == [None] * 3
    assert frame["line_number"].is_null().to_list() == [True, False, False]
    assert frame["_extra"].to_list() == [
        '{"gift_note":"hi","line_number":"first"}', '{"gift_note":"ho"}', None,
    ]  # fmt: skip
    stopping = changed("order_lines", on_retyped=OnSchemaChange.STOP)
    with pytest.raises(StopPipelineError, match=r"order_lines.line_number holds 'first'"):
        validated(source, stopping)


def test_value_that_we_cannot_hold_is_no_other_type(tmp_path):
    """One instant before our era is no reason to stop, nor to leave it out."""
    source = order_lines(new_lake(tmp_path)).change(1, "c", updated_at="-infinity")
    for policy in OnSchemaChange:
        assert broken(source, changed("order_lines", on_retyped=policy)) == [
            "updated_at_out_of_range"
        ]


def changed(table, **policies):
    from dataclasses import replace

    return replace(ENTITIES[table], **policies)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("fr", "FR"), ("FRA", "FR"), ("France ", "FR"), ("FX", "FR"), ("Frankreich", "FR"),
     ("DDR", "DE"), ("SUI", "CH"), ("UK", "GB"), ("Côte d'Ivoire", "CI"), ("Holland", "NL"),
     ("Suède", "SE"), ("日本", "JP"), ("Utopia", None), ("", None), ("ZZ", None),
     ("XK", "XK"), ("xkx", "XK"), ("Kosowo", "XK"), ("XI", "GB"), ("EL", "GR"), ("AN", None)],
)  # fmt: skip
def test_country_is_understood_as_code_old_code_or_name(typed, meant):
    assert spelling.country(typed) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("DUPONT", "Dupont"), ("o'connor", "O'Connor"), ("fRANKFURT AM mAIN", "Frankfurt am Main"),
     ("McDonald", "McDonald"), (" van  der Berg ", "van der Berg"), ("A.", "A."),
     ("Zoë\u0308".replace("ë\u0308", "e\u0308"), "Zoë"), ("\u200bAnna", "Anna"), ("東京", "東京"),
     ("", None)],
)  # fmt: skip
def test_names_get_capitals_only_where_they_have_none_of_their_own(typed, meant):
    assert spelling.name(typed) == meant


@pytest.mark.parametrize(
    ("number", "country", "meant"),
    [("06 12 34 56 78", "FR", "+33612345678"), ("0033612345678", "US", "+33612345678"),
     ("(+49) 151 12345678", None, "+4915112345678"), ("02079460958", "UK", "+442079460958"),
     ("333 1234567", "IT", "+393331234567"), ("12", "FR", None), ("0612345678", None, None),
     ("none", "FR", None)],
)  # fmt: skip
def test_phone_is_read_as_one_of_the_row_s_country(number, country, meant):
    assert spelling.phone(number, country) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(" Ada@Example.COM ", "ada@example.com"), ("a@@b.com", None), ("a@localhost", None),
     ("a b@example.com", None), ("@example.com", None), ("a@", None)],
)  # fmt: skip
def test_email_is_taken_only_with_a_public_domain(typed, meant):
    assert spelling.email(typed) == meant


LOCAL = st.text(alphabet="aB1.+_-! é", max_size=5) | st.sampled_from(["z" * 64, "z" * 65])
DOMAIN = st.text(alphabet="aB1.-é_", max_size=5) | st.sampled_from(
    ["example.com", "Example.COM", "b.test", "xn--bcher-kva.de", "bücher.de", "a--b.de", "1.2.3.4",
     "b.c.", "a" * 63 + ".de", "a" * 64 + ".de", ".".join(["a" * 60] * 4), "localhost", "x.local"]
)  # fmt: skip


@given(LOCAL, st.sampled_from(["@", "@", "@", "", "@@"]), DOMAIN | DOMAIN.map("a.{}".format))
@example("z" * 64, "@", ".".join(["a" * 60] * 4))
@example("z" * 65, "@", "example.com")
def test_common_emails_are_cleaned_as_the_library_cleans_them(local, at, domain):
    address = f"{local}{at}{domain}"
    assert spelling.email(address) == spelling._validated(address.strip())


def test_twins_share_a_key_and_strangers_do_not():
    ada = spelling.person_key("Ada@example.com", "1815-12-10")
    assert ada == spelling.person_key(" ADA@EXAMPLE.COM", "1815-12-10")
    assert ada != spelling.person_key("ada@example.com", "1815-12-11")
    assert "ada" not in ada


def test_region_is_known_by_its_name_within_its_country():
    assert spelling.region_code("France", "Île-de-France") == "FR-IDF"
    assert spelling.region_code("DE", "Bayern") == "DE-BY"
    assert spelling.region_code("FR", "Bayern") is None


def test_null_and_empty_text_side_by_side_double_no_change(tmp_path):
    source = customers(new_lake(tmp_path), partitions=1)
    for key, (name, value) in enumerate(product(["region", "country"], [None, ""])):
        source.change(key, "c", **{name: value})
    assert validated(source)["customer_id"].sort().to_list() == [0, 1, 2, 3]


def test_later_epoch_is_newer_whatever_its_offset():
    frame = nw.from_native(pl.LazyFrame({
        "k": [1, 1, 1], "_epoch": [0, 1, 0], "_offset": [90, 2, 91],
        "v": ["a", "b", "c"]}))  # fmt: skip
    assert latest(frame, "k").collect().to_native()["v"].to_list() == ["b"]


def test_value_that_was_not_told_is_the_key_s_last_one_null_included():
    untold = "__debezium_unavailable_value"
    frame = nw.from_native(pl.LazyFrame({
        "k": ["1", "1", "1", "2", "2", "3", "3"], "_epoch": [0] * 7,
        "_offset": [0, 1, 2, 0, 1, 0, 1],
        "t": ["long", untold, untold, None, untold, "\0", untold]}))  # fmt: skip
    filled = fill_unchanged(frame, "k", {"t": untold}).collect().to_native().sort("k", "_offset")
    assert filled["t"].to_list() == ["long", "long", "long", None, None, "\0", "\0"]


def test_version_never_begins_before_the_one_it_follows():
    entity = ENTITIES["customers"]
    frame = pl.LazyFrame({
        "customer_id": [1, 1, 1], "_epoch": [0, 0, 0], "_offset": [0, 1, 2],
        "updated_at": [100, 300, 200],
        "_deleted_at": pl.Series([None] * 3, dtype=pl.Int64)})  # fmt: skip
    names = [*frame.collect_schema().names(), "valid_from_at", "valid_to_at"]
    rows = versions(nw.from_native(frame), entity, names).collect().to_native().sort("_offset")
    assert rows["valid_from_at"].to_list() == [100, 300, 300]
    assert rows["valid_to_at"].to_list() == [300, 300, None]


MOMENTS = st.none() | st.integers(0, 4)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1), st.integers(0, 4), MOMENTS, MOMENTS),
             max_size=12),
    st.integers(0, 2),
)  # fmt: skip
@example([(1, 0, 0, 3, None), (1, 0, 1, None, None), (1, 0, 2, 2, 1), (2, 0, 0, 1, None)], 1)
def test_versions_and_latest_changes_are_those_found_one_by_one(drawn, doubled):
    found = {change[:3]: change for change in drawn}  # a coordinate has one change
    schema = {"customer_id": pl.Int64, "_epoch": pl.Int32, "_offset": pl.Int64,
              "updated_at": pl.Int64, "_deleted_at": pl.Int64}  # fmt: skip
    frame = pl.DataFrame(list(found.values()), schema, orient="row")
    expected, last = [], {}
    for number, (key, epoch, offset, updated_at, deleted_at) in enumerate(sorted(
        found.values(), key=lambda change: change[:3])):  # fmt: skip
        begins = updated_at if deleted_at is None else deleted_at
        told = [row[5] for row in expected if row[0] == key and row[5] is not None]
        if begins is not None:
            begins = max([begins, *told])
        if key in last:
            expected[last[key]] = (*expected[last[key]][:6], begins)
        last[key] = number
        expected.append((key, epoch, offset, updated_at, deleted_at, begins, None))
    names = [*schema, "valid_from_at", "valid_to_at"]
    twice = nw.from_native(pl.concat([frame, frame.head(doubled)]).lazy())
    rows = versions(twice, CUSTOMERS, names).collect().to_native()
    assert sorted(rows.rows(), key=lambda row: row[:3]) == expected

    newest = latest(twice, "customer_id").collect().to_native().rows()
    assert sorted(newest) == [expected[number][:5] for _, number in sorted(last.items())]


HARD = st.none() | st.text(alphabet=" :-12=\x1fFR", max_size=4)


@settings(deadline=None)
@given(st.lists(st.tuples(HARD, HARD), min_size=1, max_size=8))
@example([("1:2", "3"), ("1", "2:3"), (None, "1"), ("-", "1"), ("1", None), ("1", "")])
def test_each_row_is_spelled_by_its_own_inputs(pairs):
    asked = {column.text: [None] * len(pairs) for column in CUSTOMERS.columns}
    asked |= {"text:phone": [phone for phone, _ in pairs],
              "text:country": [where for _, where in pairs]}  # fmt: skip
    texts = pl.DataFrame(asked, schema=dict.fromkeys(asked, pl.String))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spelling, "phone", lambda phone, where: repr((phone, where)))
        spelled = spell(texts, CUSTOMERS)[f"{SPELLED}phone"]
    meant = [None if phone is None else repr((phone, where)) for phone, where in pairs]
    assert spelled.to_list() == meant


def said_of(text, where, column):
    said = spelled_as(text, where, column)
    return said or UNKNOWN if column.counts_unknown else said


def spelled_as(text, where, column):
    match column.cleaning:
        case Cleaning.CHOICE:
            return spelling.choice(text, column.allowed_values)
        case Cleaning.PHONE:
            return spelling.phone(text, where)
        case how:
            return getattr(spelling, how)(text)


@pytest.mark.parametrize("table", ENTITIES)
@settings(deadline=None, max_examples=30)
@given(values=st.lists(st.text(alphabet=" \t\x00\u200bAbé@.", max_size=4), max_size=8))
@example(values=["", " ", "A", " A", "A ", "A  b", "A b", "\u200b", "e\u0301", "active", "FR"])
def test_each_text_becomes_what_its_cleaning_says_of_it_alone(table, values):
    entity = ENTITIES[table]
    texts = pl.DataFrame({c.text: values for c in entity.columns},
                         schema={c.text: pl.String for c in entity.columns})  # fmt: skip
    spelled = spell(texts, entity)
    for column in entity.columns:
        if column.cleaning is not Cleaning.NONE:
            meant = [said_of(text, text, column) for text in values]
            assert spelled[f"{SPELLED}{column.name}"].to_list() == meant, column.name
