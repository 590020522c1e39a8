"""An error says what it is: of data, of rights, of a service that is away; and only what passes is
tried again."""

import re
import ssl
from types import SimpleNamespace

import polars as pl
import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, KafkaException
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse import errors
from lakehouse.delta import is_of_store, open_table, retry_later, trouble_of_store
from lakehouse.errors import (
    AwayError,
    CrowdedError,
    DataRefusedError,
    FullError,
    GoneError,
    NotAllowedError,
    Problem,
    RetryLaterError,
    StopPipelineError,
)
from lakehouse.kafka import explain_kafka, trouble_of_kafka
from lakehouse.object_store import explain_client, impatient_pool
from lakehouse.postgres import explaining, noting, trouble_of
from lakehouse.settings import ROOT
from lakehouse.trouble import Service, Trouble, told

AWAY_WORDS = re.compile(r"is it up|does not answer|\./pipeline status", re.IGNORECASE)
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()

# By the class of SQLSTATE, as the appendix of Postgres' manual has them; what is not named here is
# a statement or a schema that does not fit.
CLASSES = {
    "08": Trouble.AWAY, "21": Trouble.DATA, "22": Trouble.DATA, "23": Trouble.DATA,
    "27": Trouble.DATA, "28": Trouble.RIGHTS, "38": Trouble.DATA, "39": Trouble.DATA,
    "40": Trouble.BUSY, "44": Trouble.DATA, "53": Trouble.FULL, "54": Trouble.DATA,
    "58": Trouble.BROKEN, "F0": Trouble.BROKEN, "HV": Trouble.BROKEN, "P0": Trouble.DATA,
    "XX": Trouble.BROKEN,
}  # fmt: skip
CODES = {
    "08P01": Trouble.BROKEN, "0LP01": Trouble.RIGHTS, "0P000": Trouble.RIGHTS,
    "25P03": Trouble.BUSY, "25P04": Trouble.BUSY, "40002": Trouble.DATA, "42501": Trouble.RIGHTS,
    "53300": Trouble.BUSY, "55006": Trouble.BUSY, "55P03": Trouble.BUSY, "57014": Trouble.BUSY,
    "57P01": Trouble.AWAY, "57P02": Trouble.AWAY, "57P03": Trouble.AWAY, "57P05": Trouble.AWAY,
}  # fmt: skip
STATES = sorted(
    found.sqlstate
    for found in vars(psycopg.errors).values()
    if isinstance(found, type) and issubclass(found, psycopg.Error) and found.sqlstate
)


def test_every_sqlstate_that_psycopg_knows_is_sorted():
    assert len(STATES) > 200
    sorted_ = {code: trouble_of(psycopg.errors.lookup(code)()) for code in STATES}
    expected = {c: CODES.get(c) or CLASSES.get(c[:2], Trouble.SCHEMA) for c in STATES}
    assert sorted_ == expected


def test_only_away_is_told_as_away():
    for code in STATES:
        error = psycopg.errors.lookup(code)("its words")
        with (
            pytest.raises(errors.PipelineError) as raised,
            explaining(Service.WAREHOUSE, "The load"),
        ):
            raise error
        is_away = trouble_of(error) is Trouble.AWAY
        assert bool(AWAY_WORDS.search(str(raised.value))) == is_away, code
        assert isinstance(raised.value, AwayError) == is_away, code
        assert str(raised.value).startswith("The load: the warehouse"), code
        assert "its words" in str(raised.value)


REACHED = 'connection to server at "127.0.0.1", port 5433 failed: '


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError(REACHED + "Connection refused"), AwayError),
        (psycopg.OperationalError("the connection is closed"), AwayError),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), AwayError),
        (psycopg.OperationalError("failed to resolve host 'warehouse'"), AwayError),
        (psycopg.InterfaceError("cursor already closed"), AwayError),
        (
            psycopg.OperationalError(REACHED + "FATAL:  the database system is starting up"),
            AwayError,
        ),
        (
            psycopg.OperationalError(
                REACHED + 'FATAL:  password authentication failed for user "batch"'
            ),
            NotAllowedError,
        ),
        (psycopg.OperationalError(REACHED + 'FATAL:  role "b" does not exist'), NotAllowedError),
        (psycopg.OperationalError(REACHED + "FATAL:  no pg_hba.conf entry for"), NotAllowedError),
        (psycopg.OperationalError(REACHED + "fe_sendauth: no password supplied"), NotAllowedError),
        (
            psycopg.OperationalError(REACHED + 'FATAL:  database "w" does not exist'),
            errors.SchemaDiffersError,
        ),
        (psycopg.OperationalError(REACHED + "FATAL:  sorry, too many clients"), CrowdedError),
        (
            psycopg.OperationalError(
                REACHED + "FATAL:  remaining connection slots are reserved for roles"
            ),
            CrowdedError,
        ),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL bytes"), DataRefusedError),
        (psycopg.ProgrammingError("the query has 2 placeholders"), errors.SchemaDiffersError),
        (psycopg.errors.InternalError_("tuple concurrently updated"), CrowdedError),
        (psycopg.errors.InternalError_("cache lookup failed"), errors.BrokenError),
        (psycopg.errors.DiskFull("could not extend file"), FullError),
        (psycopg.errors.ProgramLimitExceeded("index row size 6424 exceeds"), DataRefusedError),
    ],
)
def test_error_of_postgres_has_the_type_of_what_to_do_next(error, kind):
    with pytest.raises(errors.PipelineError) as raised, explaining(Service.WAREHOUSE, "The load"):
        raise error
    assert type(raised.value) is kind


NO_LINE = f'{REACHED}FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "batch", database "w", '


@pytest.mark.parametrize(
    ("text", "is_tls_told"),
    [
        (f"{NO_LINE}no encryption", True),
        (f"{NO_LINE}SSL encryption", False),
        (f"{NO_LINE}SSL encryption\n{NO_LINE}no encryption", False),
    ],
)
def test_session_that_no_line_admits_is_told_of_tls_only_if_it_was_without(text, is_tls_told):
    with pytest.raises(NotAllowedError) as raised, explaining(Service.WAREHOUSE, "The load"):
        raise psycopg.OperationalError(text)
    message = str(raised.value)
    assert "pg_hba.conf of that server admits no such session: add a line for it" in message
    assert ("asks for TLS: set WAREHOUSE_SSL" in message) == is_tls_told


def test_error_says_in_which_script_it_came_up():
    error = psycopg.errors.NumericValueOutOfRange("integer out of range")
    with (
        pytest.raises(DataRefusedError, match=r"out of range in warehouse_sql/mart/x/load\.sql"),
        explaining(Service.WAREHOUSE, "The load"),
        noting("in warehouse_sql/mart/x/load.sql"),
    ):
        raise error


def test_each_kind_has_words_and_the_document_has_them():
    chapter = OPERATIONS.partition("\n## Error messages\n")[2]
    told_ = {kind: str(told(kind, Service.STORE, "It", "why")) for kind in Trouble}
    assert len(set(told_.values())) == len(Trouble)
    phrases = re.findall(r"^\| `(.+?)` \|", chapter, re.MULTILINE)
    assert [text for text in told_.values() if not any(p in text for p in phrases)] == []
    for kind, text in told_.items():
        error = told(kind, Service.STORE, "It", "why")
        assert isinstance(error, RetryLaterError if kind.passes else StopPipelineError), text


# The object store: as delta-rs 1.6, Polars 2.1 and PyArrow tell them of MinIO

GET = "Error performing GET http://127.0.0.1:9000/bronze/raw/_delta_log/_last_checkpoint"
ANSWERED = f"{GET} in 1.2ms - Server returned non-2xx status code"
DENIED = "The operation lacked the necessary privileges to complete for path raw/x.parquet"
NO_FILE = f"Object at location raw/x.parquet not found: {ANSWERED}: 404 Not Found"
PYTHON = "C Data interface error: Invalid: year 0 is out of range. Detail: Python exception: Trace"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(f"Kernel error -> Generic S3 error\n \x1b[31m↳\x1b[0m {GET}"), Trouble.AWAY),
        (DeltaError(f"Failed to parse parquet: External: Generic S3 error: {GET}"), Trouble.AWAY),
        (pl.exceptions.ComputeError(f"object-store error: Generic S3 error: {GET}"), Trouble.AWAY),
        (pa.ArrowInvalid(f"External error: Object Store error: Generic S3 error: {GET}"), "AWAY"),
        (OSError("refused"), Trouble.AWAY),
        (ConnectionResetError("reset"), Trouble.AWAY),
        (OSError(f"Generic S3 error: {GET}: 503 Service Unavailable"), Trouble.AWAY),
        (CommitFailedError("Commit failed: a concurrent transaction deleted data"), Trouble.BUSY),
        (DeltaError("Generic error: Failed to commit transaction: Concurrent"), Trouble.BUSY),
        (OSError(f"Generic S3 error: {ANSWERED}: 507 Insufficient Storage"), Trouble.FULL),
        (OSError(28, "No space left on device"), Trouble.FULL),
        (OSError(f"Kernel error -> {DENIED}\n ↳ {ANSWERED}\n ↳ 403 Forbidden"), Trouble.RIGHTS),
        (DeltaError(f"Failed to parse parquet: External: {DENIED}"), Trouble.RIGHTS),
        (OSError(f"object-store error: Generic S3 error: {ANSWERED}: 403 Forbidden"), "RIGHTS"),
        (PermissionError(13, "Permission denied"), Trouble.RIGHTS),
        (OSError(f"Generic S3 error: {ANSWERED}: <Code>NoSuchBucket</Code>"), Trouble.SCHEMA),
        (FileNotFoundError(f"object-store error: {NO_FILE}"), Trouble.GONE),
        (pa.ArrowInvalid(f"External error: Parquet error: {NO_FILE}"), Trouble.GONE),
        (TableNotFoundError("Generic delta kernel error: No files in log segment"), Trouble.GONE),
        (DeltaError("Kernel error: File not found: t/_delta_log/1.json"), Trouble.GONE),
        (DeltaError("LogSegment end version 0 not the same as the specified one"), Trouble.GONE),
        (DeltaError("Generic DeltaTable error: Arrow error: Cast error: Cannot cast"), "DATA"),
        (DeltaError("External error: Invalid data found: 2 rows failed"), Trouble.DATA),
        (DeltaError("External error: Schema error: No field named s.nope"), Trouble.DATA),
        (DeltaError(f"Generic DeltaTable error: Arrow error: {PYTHON}"), Trouble.DATA),
        (Exception("Cast error: Cannot cast string 'zz' to value of Int64 type"), Trouble.DATA),
        (ValueError("year 0 is out of range"), None),
        (OverflowError("Python int too large to convert to C long"), None),
        (TypeError("no"), None),
        (KeyError("key"), None),
        (pa.ArrowInvalid("Casting from timestamp[ns] would lose data"), None),
        (pl.exceptions.ComputeError("cannot compare string with numeric type"), None),
        (pl.exceptions.InvalidOperationError("conversion from `str` to `i64` failed"), None),
        (pl.exceptions.ColumnNotFoundError("key"), None),
    ],
)
def test_error_of_the_store_is_sorted_by_what_it_says(error, kind):
    wanted = Trouble[kind] if isinstance(kind, str) and kind.isupper() else kind
    assert trouble_of_store(error) == wanted
    assert is_of_store(error) == (wanted is not None and wanted.passes)
    with pytest.raises(Exception) as raised, retry_later("bronze cannot be read"):  # noqa: PT011
        raise error
    if wanted is None:
        assert raised.value is error
    else:
        assert bool(AWAY_WORDS.search(str(raised.value))) == (wanted is Trouble.AWAY)
        assert "\x1b" not in str(raised.value)


def test_what_is_to_be_done_instead_is_told_of_what_passes_alone():
    refused, wrong = OSError("refused"), DeltaError("Cast error")
    with (
        pytest.raises(RetryLaterError, match=r"does not answer: refused\. Run it again\.$"),
        retry_later("It cannot be read", then="Run it again."),
    ):
        raise refused
    with (
        pytest.raises(StopPipelineError) as raised,
        retry_later("It cannot be read", then="Run it again."),
    ):
        raise wrong
    assert "Run it again" not in str(raised.value)


@pytest.mark.parametrize("mistake", [ValueError("year 0 is out of range"), OverflowError("big")])
def test_what_a_generator_of_rows_raises_is_never_told_as_a_store_that_is_away(tmp_path, mistake):
    schema = pa.schema([("a", pa.int64())])

    def rows():
        yield pa.record_batch({"a": pa.array([1])})
        raise mistake

    reader = pa.RecordBatchReader.from_batches(schema, rows())
    with pytest.raises(DataRefusedError) as raised, retry_later("It cannot be written"):
        write_deltalake(str(tmp_path / "table"), reader)
    assert not AWAY_WORDS.search(str(raised.value))
    assert str(mistake) in str(raised.value)


def test_value_that_cannot_be_cast_is_an_error_of_data(tmp_path):
    uri = str(tmp_path / "table")
    write_deltalake(uri, pa.table({"a": [1]}))
    table = DeltaTable(uri)
    wrong = pa.table({"a": ["zz"]})
    with pytest.raises(DataRefusedError, match="zz"), retry_later("It cannot be written"):
        write_deltalake(table, wrong, mode="append")
    merging = table.merge(wrong, "t.a = s.a", source_alias="s", target_alias="t")
    with pytest.raises(DataRefusedError, match="zz"), retry_later("It cannot be merged"):
        merging.when_matched_update({"a": "s.a"}).execute()


def test_version_whose_log_was_cleaned_up_is_gone_and_not_a_table_that_never_was(tmp_path):
    uri = str(tmp_path / "table")
    for number in range(4):
        write_deltalake(uri, pa.table({"a": [number]}), mode="append")
    table = DeltaTable(uri)
    table.create_checkpoint()
    for version in (0, 1):
        (tmp_path / "table" / "_delta_log" / f"{version:020}.json").unlink()
    with pytest.raises(GoneError, match="no longer has version 1"):
        open_table(uri, {}, version=1)
    with pytest.raises(GoneError):
        open_table(uri, {}, version=99)
    assert open_table(uri, {}).version() == 3
    assert open_table(str(tmp_path / "none"), {}, version=1) is None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", Trouble.AWAY), (403, "AccessDenied", Trouble.RIGHTS),
        (404, "NoSuchBucket", Trouble.SCHEMA), (404, "NoSuchKey", Trouble.GONE),
        (507, "XMinioStorageFull", Trouble.FULL), (400, "InvalidArgument", Trouble.SCHEMA),
    ],
)  # fmt: skip
def test_answer_of_the_store_itself_is_sorted_by_its_status(status, code, kind):
    answer = SimpleNamespace(status=status)
    error = S3Error(
        response=answer, code=code, message="its words", resource="", request_id="", host_id=""
    )
    explained = explain_client(error, "It cannot be listed")
    assert isinstance(explained, RetryLaterError) == kind.passes
    assert bool(AWAY_WORDS.search(str(explained))) == (kind is Trouble.AWAY)
    assert isinstance(explain_client(HTTPError("refused"), "It"), AwayError)


# Kafka

KAFKA = {
    "_ALL_BROKERS_DOWN": Trouble.AWAY, "_TRANSPORT": Trouble.AWAY, "_TIMED_OUT": Trouble.AWAY,
    "_RESOLVE": Trouble.AWAY, "REQUEST_TIMED_OUT": Trouble.AWAY,
    "LEADER_NOT_AVAILABLE": Trouble.AWAY, "NOT_LEADER_FOR_PARTITION": Trouble.AWAY,
    "COORDINATOR_NOT_AVAILABLE": Trouble.AWAY,
    "TOPIC_AUTHORIZATION_FAILED": Trouble.RIGHTS, "SASL_AUTHENTICATION_FAILED": Trouble.RIGHTS,
    "_AUTHENTICATION": Trouble.RIGHTS,
    "MSG_SIZE_TOO_LARGE": Trouble.DATA, "INVALID_RECORD": Trouble.DATA,
    "UNKNOWN_TOPIC_OR_PART": Trouble.GONE, "OFFSET_OUT_OF_RANGE": Trouble.GONE,
    "_QUEUE_FULL": Trouble.BUSY, "_FENCED": Trouble.BUSY,
    "KAFKA_STORAGE_ERROR": Trouble.FULL, "INVALID_CONFIG": Trouble.SCHEMA,
}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), KAFKA.items())
def test_error_of_kafka_is_sorted_by_its_code(name, kind):
    error = KafkaError(getattr(KafkaError, name))
    assert trouble_of_kafka(error) is kind
    for given in (error, KafkaException(error)):
        explained = explain_kafka(given, "Deletes cannot be written")
        assert bool(AWAY_WORDS.search(str(explained))) == (kind is Trouble.AWAY)
        assert isinstance(explained, RetryLaterError) == kind.passes


def test_queue_that_is_full_passes():
    assert isinstance(explain_kafka(BufferError("Local: Queue full"), "It"), CrowdedError)


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("It is away", "It is away. Wait."),
        ("It is away.", "It is away. Wait."),
        ("Is the server running?", "Is the server running? Wait."),
    ],
)
def test_problem_ends_with_one_mark_before_its_action(problem, told):
    assert Problem(problem, "Wait.") == told


def test_pool_of_its_own_trusts_authorities_where_the_system_has_none(monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    context = impatient_pool("https", 1).connection_pool_kw["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs()
