"""Fills in TOASTed values that an update did not change, and that the WAL therefore omits.

Source tables with `replica identity full` never omit them; others do (Debezium's documentation,
"Toasted values").
"""

from collections.abc import Mapping

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.latest import ORDER


def fill_unchanged(texts: Frame, key: str, placeholders: Mapping[str, str]) -> Frame:
    """Replace each placeholder by the value from the previous change of the same key.

    Args:
        texts: the columns as text, with all changes of each key that has a placeholder,
            valid or not, starting with one that has the value.
        key: the key column.
        placeholders: columns that may hold one, and which.
    """
    for name, word in placeholders.items():
        is_placeholder = nw.col(name) == word
        # Null is a value too: it must not be mistaken for a missing one, nor any text for null.
        marked = nw.concat_str([nw.lit("="), nw.col(name)]).fill_null("")
        told = nw.when(~is_placeholder.fill_null(value=False)).then(marked)
        filled = told.fill_null(strategy="forward").over(key, order_by=list(ORDER))
        texts = texts.with_columns(nw.when(filled != "").then(filled.str.slice(1)).alias(name))
    return texts
