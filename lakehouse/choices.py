"""Names that are not known: the error, and which name was probably meant."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import NoReturn

from lakehouse.errors import WrongArgumentError

_LISTED = 20
"""Most names that are listed beside the one that was probably meant."""


def refuse_unknown(kind: str, names: Sequence[str], known: Collection[str]) -> NoReturn:
    """Refuse names of a kind of thing, such as `service`, that are not known.

    Raises:
        WrongArgumentError: always, with what was probably meant, and the known names.
    """
    problem = f"There is no {kind} {', '.join(map(repr, names))}"
    nearest = meant(names, known)
    if nearest and len(known) > _LISTED:
        raise WrongArgumentError(problem, nearest.strip())
    listed = ", ".join(known) or "none yet"
    raise WrongArgumentError(problem, f"{nearest}{kind[0].upper()}{kind[1:]}s: {listed}.")


def meant(names: Iterable[str], known: Iterable[str]) -> str:
    """Return a "Did you mean …?" question with the closest known names, or "" if none is close.

    Args:
        names: names that are not known.
        known: valid names.
    """
    near = nearest(names, known)
    return f"Did you mean {' and '.join(near)}? " if near else ""


def nearest(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the known names that are closest to these, without those that none is close to."""
    choices = {name.casefold(): name for name in known}
    near = (
        choices[found[0]]
        for name in names
        if (found := difflib.get_close_matches(name.casefold(), choices, n=1))
    )
    return list(dict.fromkeys(near))
