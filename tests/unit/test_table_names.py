"""Whatever tables are called, each that is captured has a topic and a bronze table of its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.captured import CapturedTable, choose
from connectors.definition import render
from lakehouse.contracts.bronze import RAW_NAMES, bronze_table
from lakehouse.errors import StopPipelineError
from lakehouse.kafka import captured_pattern, captured_topic, is_capturable
from lakehouse.settings import ConnectSettings, OltpSettings
from stack.doctor.shop import diagnose_tables
from stack.findings import Verdict
from tests.unit.foreign_maker import catalog_row
from tests.verdicts import only

LONGEST = 63
PREFIXES = st.sampled_from(["shop", "my.shop", "shop_2", "a.public.b"])
TRICKY = (
    "q a", "q_a", "q.a", "q-a", "Q_a", "price.list", "price_list", "order lines", "order.lines",
    "order-lines", "Order_Lines", 'quo"te', "größe", "gr__e", "价格", "𝄞", "__", "_", "-", "0",
    "7up", "$x", "a$b", "public.users", "users_table", ".", "..", ".users", "a" * LONGEST,
    "\u017f", "\u212a",
    *RAW_NAMES, *(name.removeprefix("raw_") for name in RAW_NAMES.values()), *RAW_NAMES.values(),
)  # fmt: skip


def fits(name):
    return 0 < len(name.encode()) <= LONGEST and "\0" not in name


NAMES = st.one_of(
    st.sampled_from(TRICKY),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=LONGEST).filter(fits),
    st.from_regex(r"[a-z_][a-z0-9_.\- ]{0,5}", fullmatch=True),
)


def as_debezium_names(prefix, table):
    """What Kafka does not allow becomes an underscore, one for each UTF-16 unit."""
    units = "".join("__" if ord(c) > 0xFFFF else c for c in f"{prefix}.public.{table}")
    return re.sub(r"[^a-zA-Z0-9._\-]", "_", units)


def included(connect, table):
    """Whether the connector's list, a case-insensitive regular expression of Java's, has it."""
    listed = render(connect, OltpSettings(), "x.properties")["table.include.list"].split(",")
    flags = re.IGNORECASE | re.ASCII
    return any(re.fullmatch(one, f"public.{table}", flags) for one in listed)


@given(names=st.sets(NAMES, max_size=12), prefix=PREFIXES)
def test_each_captured_table_has_a_topic_and_a_bronze_table_of_its_own(names, prefix):
    connect = ConnectSettings(topic_prefix=prefix)
    captured = {name for name in names if included(connect, name)}
    assert captured == {name for name in names if is_capturable(name)}
    topics = {captured_topic(prefix, name) for name in captured}
    assert topics == {as_debezium_names(prefix, name) for name in captured}
    assert all(re.match(captured_pattern(prefix), topic) for topic in topics)
    assert all(len(topic) <= 249 for topic in topics)
    # Kafka takes a dot for an underscore where it looks for names that are too much alike.
    assert len({topic.replace(".", "_") for topic in topics}) == len(captured)
    assert len({bronze_table(topic) for topic in topics}) == len(captured)


@given(name=NAMES, prefix=PREFIXES)
def test_topic_that_no_captured_table_can_have_is_nobodys(name, prefix):
    """It may be there, of a table that is gone: whoever reads the others leaves it alone."""
    topic = f"{prefix}.public.{name}"
    is_read = re.fullmatch(captured_pattern(prefix), topic) is not None
    assert is_read == is_capturable(name)


@pytest.mark.parametrize("name", ["price.list", "q a", 'quo"te', "größe"])
def test_table_that_is_left_out_for_its_name_is_noted_with_what_to_type(name):
    columns = [catalog_row(name, "a", "text")]
    told = only([one for one in diagnose_tables(columns, {}) if one.verdict is Verdict.NOTE])
    quoted = '"' + name.replace('"', '""') + '"'
    assert told.words.startswith(f"{quoted} is not captured: topics are named after tables")
    assert f"alter table public.{quoted} rename to NEW_NAME" in told.remedy
    assert "./pipeline extract NEW_NAME --full" in told.remedy


def test_table_that_is_left_out_for_its_name_cannot_be_extracted_and_hinders_no_other():
    orders = CapturedTable(table_name="orders", key=("order_id",), dated_by=None)
    with pytest.raises(StopPipelineError, match=r"No table named price\.list is captured"):
        choose({"orders": orders}, ["orders", "price.list"], is_dated=False)
