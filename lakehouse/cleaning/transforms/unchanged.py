"""Fills in large values that an update left alone, and which the WAL therefore does not hold.

Source tables that publish their full old rows have none of these; others do (Debezium's
documentation, "Toasted values").
"""

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.latest import ORDER
from lakehouse.contracts.model import PLACEHOLDER

_ABSENT = "\0"


def fill_unchanged(texts: Frame, key: str, names: list[str]) -> Frame:
    """Put the value of the key's change before in the place of each placeholder.

    Args:
        texts: the shop's columns as text. Holds all changes of each key that has a placeholder,
            from one that tells the value on, whether they are valid or not.
        key: names the column with the key.
        names: columns that may hold placeholders.
    """
    for name in names:
        is_placeholder = nw.col(name) == PLACEHOLDER
        # A null is a value, too: it must not be taken for one that is missing.
        told = nw.when(~is_placeholder.fill_null(value=False)).then(nw.col(name).fill_null(_ABSENT))
        filled = told.fill_null(strategy="forward").over(key, order_by=list(ORDER))
        texts = texts.with_columns(nw.when(filled != _ABSENT).then(filled).alias(name))
    return texts
