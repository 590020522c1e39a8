"""A query that is built once and run on many batches.

Narwhals and Polars build a query from Python objects, one call at a time. For a contract with many
rules that takes a tenth of a second, whatever the batch size. The query does not depend on the
rows, so it is built over sources that return the rows of the current batch.
"""

from collections.abc import Callable, Iterator, Mapping
from threading import Lock

import narwhals as nw
import polars as pl
from polars.io.plugins import register_io_source

from lakehouse.cleaning.transforms import Frame

Transformation = Callable[[Mapping[str, Frame]], Frame]


class Plan:
    """A transformation of named frames, compiled on the first run.

    The query is rebuilt when the names or columns differ from those of the run before.
    """

    def __init__(self, transformation: Transformation) -> None:
        self._transformation = transformation
        self._rows: Mapping[str, pl.DataFrame] = {}
        self._schemas: dict[str, pl.Schema] = {}
        self._query: pl.LazyFrame | None = None
        self._lock = Lock()

    def run(self, frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Return the result of the transformation for these rows."""
        with self._lock:
            schemas = {name: frame.schema for name, frame in frames.items()}
            if self._query is None or schemas != self._schemas:
                self._schemas, self._query = schemas, self._make(schemas)
            self._rows = frames
            try:
                return self._query.collect()
            finally:
                self._rows = {}

    def _make(self, schemas: Mapping[str, pl.Schema]) -> pl.LazyFrame:
        sources = {name: self._source(name, schema) for name, schema in schemas.items()}
        made = self._transformation(sources).to_native()
        if not isinstance(made, pl.LazyFrame):
            message = f"a plan runs on Polars, not on {type(made).__name__}"
            raise TypeError(message)
        return made

    def _source(self, name: str, schema: pl.Schema) -> Frame:
        def rows(
            columns: list[str] | None,
            predicate: pl.Expr | None,
            limit: int | None,
            _batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            frame = self._rows[name]
            if predicate is not None:
                frame = frame.filter(predicate)
            if limit is not None:
                frame = frame.head(limit)
            yield frame if columns is None else frame.select(columns)

        return nw.from_native(register_io_source(rows, schema=schema))
