"""Suggestions for mistyped names."""

import difflib
from collections.abc import Iterable


def meant(names: Iterable[str], known: Iterable[str]) -> str:
    """Return a "Did you mean …?" question with the closest known names, or "" if none is close.

    Args:
        names: names that are not known.
        known: valid names.
    """
    choices = {name.casefold(): name for name in known}
    near = [
        choices[found[0]]
        for name in names
        if (found := difflib.get_close_matches(name.casefold(), choices, n=1))
    ]
    return f"Did you mean {' and '.join(dict.fromkeys(near))}? " if near else ""
