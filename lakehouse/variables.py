"""Environment variables of settings: names, allowed values, and messages for invalid ones."""

import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from lakehouse.environment import expand_home

_BOUNDS = {"ge": "of at least", "gt": "above", "le": "up to", "lt": "below"}
_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    Path: "a path",
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """Annotation of a setting: a description of what its type and limits do not express."""

    words: str


def _is_known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError from error
    return name


def _absolute(path: Path) -> Path:
    try:
        return expand_home(path).absolute()
    except RuntimeError as error:  # unknown user
        raise ValueError from error


Host = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.:_-]+$"), Allowed("the name or address of a machine")
]
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"),
    Allowed("letters, digits and _, after the first also . and -"),
]
PostgresName = Annotated[
    str,
    Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$"),
    Allowed("up to 63 small letters, digits and _, no digit first"),
]
Bucket = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$"),
    Allowed("3 to 63 small letters and digits, in between also -"),
]
Currency = Annotated[
    str, Field(pattern=r"^[A-Z]{3}$"), Allowed("three capital letters, such as EUR")
]
TimeZone = Annotated[
    str, AfterValidator(_is_known_zone), Allowed("the name of a time zone, such as Europe/Paris")
]
WebAddress = Annotated[
    str, Field(pattern=r"^https?://\S+$"), Allowed("an address that begins with http or https")
]
# Programs that get the path run in other directories.
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One setting, as shown to users."""

    name: str
    field: str
    default: str
    allowed: str
    description: str


def name_of(group: type[BaseModel], field: str) -> str:
    """Return the environment variable of a setting."""
    return f"{group.model_config.get('env_prefix', '')}{field}".upper()


def variables_of(group: type[BaseModel]) -> list[Variable]:
    """Return the settings of a group, in order."""
    title = (group.__doc__ or "").strip()
    return [
        Variable(
            name=name_of(group, name),
            field=name,
            default=str(field.get_default(call_default_factory=True, validated_data={})),
            allowed=allowed(field),
            description=field.description or title,
        )
        for name, field in group.model_fields.items()
    ]


def allowed(field: FieldInfo) -> str:
    """Describe the values that a setting may have."""
    for mark in field.metadata:
        if isinstance(mark, Allowed):
            return mark.words
    if typing.get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(typing.get_args(field.annotation))
    words = _KINDS[_plain(field.annotation)]
    bounds = " and ".join(bound for mark in field.metadata if (bound := _bound(mark)))
    return f"{words} {bounds}".strip()


def explain(group: type[BaseModel], error: ValidationError) -> str:
    """Return one line for each invalid variable: its value, and what is allowed."""
    lines = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        field = group.model_fields.get(name)
        if field is None:  # a rule over several settings, or no setting at all
            lines.append(f"{group.__name__} {name}: {problem['msg']}.")
            continue
        is_now = f"{name_of(group, name)} is {problem['input']!r}"
        lines.append(f"{is_now}; allowed is {allowed(field)}.")
    return "\n".join([*lines, "Correct it, or unset it to use the default."])


def _bound(limit: object) -> str:
    for name, words in _BOUNDS.items():
        if (value := getattr(limit, name, None)) is not None:
            return f"{words} {value}"
    return ""


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - annotations are of any type
    """Return the type itself, if the annotation allows None."""
    parts = [part for part in typing.get_args(annotation) if part is not types.NoneType]
    return _plain(parts[0]) if parts else annotation
