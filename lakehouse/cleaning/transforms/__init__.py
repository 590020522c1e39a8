"""Pure transformations of silver in Narwhals: the same code runs on Polars and on Spark."""

from typing import Any

import narwhals as nw

Frame = nw.LazyFrame[Any]
