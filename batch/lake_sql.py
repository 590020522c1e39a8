"""SQL over the lake's tables through DuckDB, a Delta implementation other than the writers'.

Works offline: DuckDB's extensions come as packages. Nothing can be written, and only the lake can
be read.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from urllib.parse import urlsplit

import duckdb
from deltalake import DeltaTable

from batch.catalogue.lake import lake_tables
from batch.catalogue.metrics import LakeTable
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake
from lakehouse.layers import LAKE
from lakehouse.object_store import has_virtual_hosts
from lakehouse.settings import SslSettings

ALL_SUFFIX = "$all"
"""Suffix of the view that shows a silver table including tombstones of deleted keys."""
_DELETED = "_deleted_at"
_BATCH_ROWS = 10_000
_KAFKAS = ("key", "value")
"""Columns with bytes of Kafka, which are shown as text."""
Row = tuple[object, ...]


class QueryError(PipelineError):
    """The query is invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rows of a query, in its order. `types` are the names of the database's types."""

    columns: Sequence[str]
    types: Sequence[str]
    read: Callable[[int | None], Iterator[Row]]

    def rows(self, *, limit: int | None = None) -> Iterator[Row]:
        """Yield the rows, read as they are requested.

        Raises:
            QueryError: an error that only occurs during execution, such as a cast or out of memory.
        """
        return self.read(limit)


def _rows(relation: duckdb.DuckDBPyRelation, limit: int | None) -> Iterator[Row]:
    wanted = relation if limit is None else relation.limit(limit)
    try:
        # Batch by batch: the whole result need not fit into memory.
        for batch in wanted.to_arrow_reader(_BATCH_ROWS):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except duckdb.Error as error:
        raise QueryError(_plain(error)) from error


class LakeSql:
    """An in-memory DuckDB that sees one lake. Each table is pinned when a query first names it.

    `others` returns tables elsewhere, to be listed beside the lake's.
    """

    def __init__(
        self, lake: Lake, *, memory_mb: int, others: Callable[[], list[str]] = list
    ) -> None:
        self._lake = lake
        self._others = others
        self._tables: list[LakeTable] | None = None
        self._known: set[LakeTable] = set()
        self.connection = connect(lake.options, memory_mb=memory_mb)
        for layer in LAKE:
            self.connection.execute(f"create schema {layer}")
        self.connection.execute("set search_path = 'main,gold,silver,bronze'")
        roots = ", ".join(f"'{getattr(lake, layer)}/'" for layer in LAKE)
        self.connection.execute(f"set allowed_directories = [{roots}]")

    def ask(self, query: str) -> Answer:
        """Prepare a query.

        Raises:
            QueryError: it is invalid, reads an unknown table, or is not a query.
            RetryLaterError: the object store does not answer.
        """
        try:
            self._refuse_writing(query)
            self._open(query)
            self._lock()
            relation = self.connection.sql(query)
        except duckdb.CatalogException as error:
            message = f"{_plain(error)}\n\n{self._what_there_is(query)}"
            raise QueryError(message) from error
        except duckdb.Error as error:
            raise QueryError(_plain(error)) from error
        return Answer(
            columns=relation.columns,
            types=[str(one) for one in relation.types],
            read=lambda limit: _rows(relation, limit),
        )

    def tables(self) -> list[LakeTable]:
        """Return all tables that can be read."""
        if self._tables is None:
            self._tables = lake_tables(self._lake)
        return self._tables

    def _refuse_writing(self, query: str) -> None:
        statements = self.connection.extract_statements(query)
        if len(statements) != 1:
            message = f"Only one query at a time; got {len(statements)} statements."
            raise QueryError(message)
        if statements[0].type != duckdb.StatementType.SELECT:
            message = "Only select, from, with, describe, summarize and show are allowed."
            raise QueryError(message)

    def _open(self, query: str) -> None:
        """Create the views of every table whose name occurs in the query."""
        for table in self.tables():
            name = rf"(?<![\w$]){re.escape(table.name)}(?:\{ALL_SUFFIX})?(?![\w$])"
            if table not in self._known and re.search(name, query, re.IGNORECASE):
                delta = self._lake.open(table.layer, table.name)
                if delta is not None:
                    self._make_views(table, delta)
                    self._known.add(table)

    def _make_views(self, table: LakeTable, delta: DeltaTable) -> None:
        name = f"delta/{table}"
        if has_virtual_hosts(self._lake.options):
            # DuckDB (1.5) asks for a table's log without its bucket then.
            self.connection.register(name, delta.to_pyarrow_dataset())
            pinned = f'"{name}"'
        else:
            uri = self._lake.uri(table.layer, table.name)
            pinned = attach(self.connection, uri, version=delta.version(), name=name)
        found = self.connection.execute(f"describe {pinned}").fetchall()
        texts = ", ".join(
            f'coalesce(try(decode("{name}")), "{name}"::varchar) as "{name}"'
            for name, kind, *_ in found
            if kind == "BLOB" and name in _KAFKAS
        )
        columns = f"* replace ({texts})" if texts else "*"
        rows = f"select {columns} from {pinned}"  # noqa: S608 - names of columns
        view = f'{table.layer}."{table.name}'
        if any(name == _DELETED for name, *_ in found):
            self.connection.execute(f'create view {view}{ALL_SUFFIX}" as {rows}')
            rows += f" where {_DELETED} is null"
        self.connection.execute(f'create view {view}" as {rows}')

    def _lock(self) -> None:
        # Restrict file access to the lake's own addresses. Cannot be undone.
        self.connection.execute("set enable_external_access = false")

    def _what_there_is(self, query: str) -> str:
        names = {table.name: str(table) for table in self.tables()}
        names |= {name.partition(".")[2]: name for name in self._others()}
        listed = "\n".join(f"  {name}" for name in sorted(names.values()))
        words = re.findall(r"\w+", query)
        # The name of the shop's table, whose bronze begins with `raw_`.
        plain = re.findall(r'\bbronze\."?(\w+)', query)
        near = [names[raw] for name in plain if (raw := f"raw_{name}") in names]
        near += [names[n] for word in words for n in get_close_matches(word, names, 1, 0.8)]
        hint = f"Did you mean {near[0]}? " if near else ""
        return f"{hint}There are:\n{listed}" if listed else "There is no table yet."


def connect(options: Mapping[str, str], *, memory_mb: int) -> duckdb.DuckDBPyConnection:
    """Create an in-memory database that can read Delta tables, with delta-rs' storage options.

    Timestamps are shown in UTC.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    for extension in ("httpfs", "delta"):
        connection.execute(f"load '{_extension(extension)}'")
    connection.execute("set timezone = 'UTC'")
    if "AWS_ENDPOINT_URL" in options and not has_virtual_hosts(options):
        _add_secret(connection, options)
    return connection


def attach(connection: duckdb.DuckDBPyConnection, uri: str, *, version: int, name: str) -> str:
    """Attach one version of a Delta table, and return its quoted name."""
    connection.execute(
        f"attach '{_quoted(uri)}' as \"{name}\" (type delta, pin_snapshot, version {version})"
    )
    return f'"{name}"'


def _add_secret(connection: duckdb.DuckDBPyConnection, options: Mapping[str, str]) -> None:
    endpoint = urlsplit(options["AWS_ENDPOINT_URL"])
    values = {
        "key_id": options["AWS_ACCESS_KEY_ID"],
        "secret": options["AWS_SECRET_ACCESS_KEY"],
        "region": options["AWS_REGION"],
        "endpoint": endpoint.netloc,
        "url_style": "path",
        "session_token": options.get("AWS_SESSION_TOKEN", ""),
    }
    given = ", ".join(f"{name} '{_quoted(value)}'" for name, value in values.items())
    # The others read this variable themselves.
    if authorities := SslSettings().cert_file:
        connection.execute(f"set ca_cert_file = '{_quoted(str(authorities))}'")
    has_tls = str(endpoint.scheme == "https").lower()
    connection.execute(f"create secret lake (type s3, {given}, use_ssl {has_tls})")


def _extension(name: str) -> str:
    package = resources.files(f"duckdb_extension_{name}")
    version = f"v{duckdb.__version__}"
    return _quoted(str(package / "extensions" / version / f"{name}.duckdb_extension"))


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _plain(error: duckdb.Error) -> str:
    """Return DuckDB's message without its suggestions: it does not know the lake's names."""
    lines = str(error).strip().splitlines()
    return "\n".join(line for line in lines if not line.startswith("Did you mean"))
