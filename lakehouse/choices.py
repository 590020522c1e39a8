"""Names that somebody typed, among those that there are."""

import difflib
from collections.abc import Iterable


def meant(names: Iterable[str], known: Iterable[str]) -> str:
    """A question that names what comes nearest to each of these, to go into a message; or nothing.

    Args:
        names: that are not known.
        known: what there is.
    """
    choices = {name.casefold(): name for name in known}
    near = [
        choices[found[0]]
        for name in names
        if (found := difflib.get_close_matches(name.casefold(), choices, n=1))
    ]
    return f"Did you mean {' and '.join(dict.fromkeys(near))}? " if near else ""
