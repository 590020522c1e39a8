"""Connections to the two Postgres servers by role, and the meaning of their errors."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import polars as pl
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from lakehouse.digest import Digest
from lakehouse.errors import PipelineError
from lakehouse.secrets import Secrets
from lakehouse.settings import OltpSettings, WarehouseSettings
from lakehouse.tls import POSTGRES_HELLO, distrust
from lakehouse.trouble import Service, Trouble, told
from lakehouse.variables import address


def oltp_dsn(settings: OltpSettings, secrets: Secrets, *, role: str) -> str:
    """Return the connection string of the shop's database.

    Roles: admin, simulator, debezium, monitor, reconcile, extract (may ask for extractions).
    """
    return _dsn(settings, role, secrets[f"oltp_{role}"])


def warehouse_dsn(settings: WarehouseSettings, secrets: Secrets, *, role: str) -> str:
    """Return the connection string of the warehouse.

    Roles: admin, batch, live, reader (reads marts), monitor (reads the state of layers and runs).
    """
    return _dsn(settings, role, secrets[f"warehouse_{role}"])


def _dsn(settings: OltpSettings | WarehouseSettings, role: str, password: str) -> str:
    return make_conninfo(
        settings.ssl, host=settings.host, port=settings.port, dbname=settings.database, user=role,
        password=password, connect_timeout=10, application_name=role,
        # Psycopg returns text of a database in SQL_ASCII as bytes, unless told.
        client_encoding="utf8",
    )  # fmt: skip


def sqlalchemy_url(
    settings: WarehouseSettings, *, driver: str, role: str, password: str, database: str
) -> str:
    """Return the address of a database of the warehouse's server, as SQLAlchemy takes it."""
    where = f"{address(settings.host, settings.port)}/{database}"
    ssl = urlencode(settings.ssl_parameters, safe="/")
    # One that others have given may have any character.
    return f"postgresql+{driver}://{role}:{quote(password, safe='')}@{where}{'?' * bool(ssl)}{ssl}"


_CANONICAL = """
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
set intervalstyle = 'iso_8601';
set extra_float_digits = 3"""
_DIGEST = """
select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)
from {} as t"""
_COPY = "copy {} ({}) from stdin (format csv)"
_INSTANT = "%Y-%m-%dT%H:%M:%S%.6f+00:00"


def copy_frames(
    connection: psycopg.Connection,
    table: sql.Identifier,
    columns: Sequence[str],
    frames: Iterable[pl.DataFrame],
) -> int:
    """COPY columns of frames into the columns of the same names; return the number of rows.

    Raises:
        psycopg.Error: the database rejects them, or is unavailable.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    rows = 0
    with connection.cursor() as cursor, cursor.copy(sql.SQL(_COPY).format(table, names)) as copy:
        for frame in frames:
            text = frame.select(columns).write_csv(
                include_header=False, datetime_format=_INSTANT, quote_style="necessary"
            )
            copy.write(text)
            rows += frame.height
    return rows


def speak_canonically(connection: psycopg.Connection) -> None:
    """Set formats so that equal rows have equal text and comparable digests in any session."""
    connection.execute(_CANONICAL)


def table_digest(
    connection: psycopg.Connection, table: sql.Identifier, where: sql.Composable | None = None
) -> Digest:
    """Compute the digest of a table's rows, or of those that meet a condition on `t`.

    The hash of a row is Postgres' own hash of its text, so these digests are not comparable with
    those of `lakehouse.digest`.
    """
    query = sql.SQL(_DIGEST).format(table)
    if where is not None:
        query = sql.SQL("{} where {}").format(query, where)
    row = connection.execute(query).fetchone()
    return Digest(rows=int(row[0]), total=int(row[1]) % 2**64) if row else Digest()


# Psycopg raises OperationalError for most of these, for an unavailable server and a too long row.
_BY_CLASS: Mapping[str, Trouble] = {
    "08": Trouble.AWAY, "21": Trouble.DATA, "22": Trouble.DATA, "23": Trouble.DATA,
    "27": Trouble.DATA, "28": Trouble.RIGHTS, "38": Trouble.DATA, "39": Trouble.DATA,
    "40": Trouble.BUSY, "44": Trouble.DATA, "53": Trouble.FULL, "54": Trouble.DATA,
    "58": Trouble.BROKEN, "F0": Trouble.BROKEN, "HV": Trouble.BROKEN, "P0": Trouble.DATA,
    "XX": Trouble.BROKEN,
}  # fmt: skip
_BY_CODE: Mapping[str, Trouble] = {
    "08P01": Trouble.BROKEN,  # a protocol violated
    "25P03": Trouble.BUSY,  # timeout of an idle session or transaction
    "25P04": Trouble.BUSY,
    "40002": Trouble.DATA,  # a constraint, at the commit
    "42501": Trouble.RIGHTS,
    "0LP01": Trouble.RIGHTS,
    "0P000": Trouble.RIGHTS,
    "53300": Trouble.BUSY,  # connections
    "55006": Trouble.BUSY,
    "55P03": Trouble.BUSY,
    "57014": Trouble.BUSY,  # a time limit, or a cancelled statement
    "57P01": Trouble.AWAY,
    "57P02": Trouble.AWAY,
    "57P03": Trouble.AWAY,
    "57P05": Trouble.AWAY,
    "58030": Trouble.BROKEN,
}
# When the server rejects a connection, libpq passes on its message only, without the SQLSTATE.
_AT_THE_DOOR: Sequence[tuple[str, Trouble]] = (
    (r"too many (clients|connections)|connection slots", Trouble.BUSY),
    (
        r"authentication failed|no password supplied|no pg_hba\.conf entry|role .+ does not exist"
        r"|permission denied|not permitted to log in|certificate|private key file|tls\w* alert"
        r"|does not support SSL",
        Trouble.RIGHTS,
    ),
    (r"database .+ does not exist", Trouble.SCHEMA),
    (r"out of (shared )?memory|No space left on device", Trouble.FULL),
)
_TLS: Sequence[tuple[str, str]] = (
    (
        r"certificate verify failed|root certificate file",
        "sslrootcert of {0}_SSL has to be the authority that signed the server's certificate, and "
        "that one in date.",
    ),
    (
        r"does not match host name",
        "Set {0}_HOST to a name in the server's certificate, or sslmode of {0}_SSL to verify-ca.",
    ),
    (
        r"no pg_hba\.conf entry",
        "pg_hba.conf of that server admits no such session: add a line for it.",
    ),
    (
        # Said of each session without TLS; with both, sslmode=prefer has tried TLS, too.
        r"(?s)\A(?!.*SSL encryption).*no pg_hba\.conf entry.*no encryption",
        "pg_hba.conf of that server admits no such session: add a line for it, or, if it asks for "
        "TLS: set {0}_SSL.",
    ),
    (r"does not support SSL", "Turn on ssl of that server, or unset {0}_SSL."),
    (
        r"client certificate|private key file|tls\w* alert",
        "sslcert of {0}_SSL has to be a certificate that the server trusts, in date, and sslkey "
        "its key, which nobody else can read.",
    ),
)
"""What to do about TLS, by libpq's words, with the first part of the settings' names."""
_AMID_A_CHANGE = "concurrently"
_LOCKS = "max_locks_per_transaction"


def trouble_of(error: psycopg.Error) -> Trouble:
    """Classify an error of Postgres or psycopg."""
    code = error.sqlstate
    if code is None:
        return _without_code(error)
    if code == "XX000" and _AMID_A_CHANGE in str(error):
        return Trouble.BUSY  # "tuple concurrently updated": concurrent changes of a catalog row
    return _BY_CODE.get(code) or _BY_CLASS.get(code[:2], Trouble.SCHEMA)


def _without_code(error: psycopg.Error) -> Trouble:
    # Psycopg's own: a value that cannot be sent, a statement with unbound parameters.
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return Trouble.DATA
    if isinstance(error, psycopg.ProgrammingError | psycopg.NotSupportedError):
        return Trouble.SCHEMA
    text = str(error)
    return next((kind for words, kind in _AT_THE_DOOR if re.search(words, text)), Trouble.AWAY)


def explained(
    error: psycopg.Error,
    service: Service,
    what: str,
    *,
    then: Mapping[Trouble, str] | None = None,
) -> PipelineError:
    """Convert an error, see `lakehouse.trouble.told`; the message has the table and the column."""
    text = f"{error} {_location(error)}".strip()
    if _LOCKS in text:
        then = {**(then or {}), Trouble.FULL: f"Raise {_LOCKS} of that server, and restart it."}
    if error.sqlstate is None:
        for words, way_out in _TLS:
            if re.search(words, text):
                then = {**(then or {}), Trouble.RIGHTS: way_out.format(service.value.upper())}
        text += _distrust(error)
    return told(trouble_of(error), service, what, text, then=then)


@contextmanager
def explaining(
    service: Service, what: str, *, then: Mapping[Trouble, str] | None = None
) -> Iterator[None]:
    """Convert errors of Postgres with `explained`.

    Raises:
        RetryLaterError: it is unavailable, busy or full, so that retrying may help.
        StopPipelineError: it rejects a value, this user, or an unknown object.
    """
    try:
        yield
    except psycopg.Error as error:
        raise explained(error, service, what, then=then) from error


@contextmanager
def noting(context: str) -> Iterator[None]:
    """Add a context, such as a script or a table, to errors of Postgres."""
    try:
        yield
    except psycopg.Error as error:
        error.add_note(context)
        raise


def _distrust(error: psycopg.Error) -> str:
    """Return what is wrong with the server's certificate, which libpq (18) does not say."""
    if error.pgconn is None or "certificate verify failed" not in str(error):
        return ""
    asked = {o.keyword: (o.val or b"").decode() for o in error.pgconn.info}
    host, port, authority = asked[b"host"], int(asked[b"port"]), Path(asked[b"sslrootcert"])
    why = distrust(host, port, authority, hello=POSTGRES_HELLO)
    return f": {why}" if why else ""


def _location(error: psycopg.Error) -> str:
    found = {
        "schema": error.diag.schema_name,
        "table": error.diag.table_name,
        "column": error.diag.column_name,
        "constraint": error.diag.constraint_name,
    }
    named = ", ".join(f"{kind} {name}" for kind, name in found.items() if name)
    notes = " ".join(getattr(error, "__notes__", ()))
    return " ".join(part for part in (f"({named})" if named else "", notes) if part)
