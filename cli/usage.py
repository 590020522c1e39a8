"""One form for every wrong command line: where, which value, what is allowed, what was meant."""

import re

from pydantic import ValidationError
from typer.exceptions import TyperException

from lakehouse.choices import meant
from lakehouse.errors import sentence

_QUOTED = re.compile(r"'([^']*)'")
_CHOICES = "is not one of "


def wrong_usage(error: TyperException) -> str:
    """Return the message about an argument that Typer refuses, and where its help is."""
    param, context = getattr(error, "param", None), getattr(error, "ctx", None)
    where = "" if param is None else max(param.opts, key=len)
    if isinstance(error.__cause__, ValidationError):
        told = f"{where} {_refused(error.__cause__)}"
    elif possible := getattr(error, "possibilities", None):
        told = f"{error.message}. {meant([error.message.split()[-1]], possible)}"
    elif param is not None and error.message:
        told = f"{where}: {error.message}"
    else:
        told = " ".join(error.format_message().split()).removeprefix("Invalid value: ")
    told = told.strip()
    return sentence(told) + (f" See {context.command_path} --help." if context else "")


def _refused(cause: ValidationError) -> str:
    """Return the value, and what is allowed instead."""
    (found, *_) = cause.errors(include_url=False)
    said = found["msg"].removeprefix("Value error, ").rstrip(".")
    value = str(found["input"])
    # Typer tells the choices only in words, each in quotes.
    choices = _QUOTED.findall(said.rpartition(_CHOICES)[2]) if _CHOICES in said else []
    if not choices:
        return f"{value!r}: {said[:1].lower()}{said[1:]}."
    return f"{value!r} is not allowed. {meant([value], choices)}Allowed: {', '.join(choices)}."
