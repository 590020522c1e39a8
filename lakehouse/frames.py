"""What transformations in Narwhals compute, for code that continues with Polars."""

from typing import Any

import narwhals as nw
import polars as pl


def collected(frame: nw.LazyFrame[Any]) -> pl.DataFrame:
    """Return what a transformation computes."""
    return pl.DataFrame(frame.collect().to_native())
