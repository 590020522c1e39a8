"""Environment variables of settings: names, allowed values, and messages for invalid ones."""

import re
import shlex
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, Field, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from lakehouse.environment import absolute

_BOUNDS = {"ge": "of at least", "gt": "above", "le": "up to", "lt": "below"}
_UNITS = {
    "ms": "milliseconds",
    "seconds": "seconds",
    "hours": "hours",
    "days": "days",
    "mb": "MB",
    "rows": "rows",
    "offsets": "offsets",
    "partitions": "partitions",
    "share": "share, 0 to 1",
    "port": "port",
    "host": "host",
}
"""By the last word of a setting's name."""
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_FILES = {"sslrootcert", "sslcert", "sslkey"}
_PASSWORD = frozenset({"sasl.username", "sasl.password.file"})
_TOKEN = frozenset(
    {
        "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret.file",
        "sasl.oauthbearer.token.endpoint.url",
    }
)  # fmt: skip
"""For a token of OpenID Connect's client credentials grant."""
_TOKEN_MAY = _TOKEN | {"sasl.oauthbearer.scope", "https.ca.location"}
_KAFKA_LOGINS: Mapping[str | None, tuple[frozenset[str], frozenset[str]]] = {
    **dict.fromkeys(("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), (_PASSWORD, _PASSWORD)),
    "OAUTHBEARER": (_TOKEN, _TOKEN_MAY),
}
"""By mechanism: properties that it needs, and may have."""
_NO_LOGIN: Mapping[str | None, tuple[frozenset[str], frozenset[str]]] = {
    None: (frozenset(), frozenset())
}
_KAFKA_OWN = {"ssl.certificate.location", "ssl.key.location"}
_KAFKA_FILE = (".file", ".location")
_URL = re.compile(r"(://[^:/@\s]*:)[^\s]*(?=@)")
_PROPERTY = re.compile(
    r"([\w.]*(?:password|passwd|passphrase|secret|token)(?:(?!\.file\b)[\w.])*\s*=\s*)\S.*",
    re.IGNORECASE | re.DOTALL,
)
_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    Path: "a path",
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """In the annotation of a setting: what it may hold, where type and limits do not say it.

    Attributes:
        words: what is allowed.
        unit: what a value is, in a word.
    """

    words: str
    unit: str


def _is_known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError from error
    return name


def _absolute(path: Path) -> Path:
    try:
        return absolute(path)
    except RuntimeError as error:  # unknown user
        raise ValueError from error


def parse_security(text: str) -> dict[str, str]:
    """Return the properties of a Kafka client's security, by name.

    Raises:
        ValueError: they are no properties, others than those that are known, or do not fit.
    """
    if not text:
        return {}
    found = dict(part.split("=", 1) for part in shlex.split(text))
    protocol = found.get("security.protocol", "")
    names = found.keys() - {"security.protocol", "sasl.mechanism"}
    of_tls = names & (_KAFKA_OWN | {"ssl.ca.location"})
    logins = _KAFKA_LOGINS if protocol.startswith("SASL_") else _NO_LOGIN
    mechanism = found.get("sasl.mechanism")
    is_sound = (
        protocol in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
        and mechanism in logins
        and logins[mechanism][0] <= names - of_tls <= logins[mechanism][1]
        and (not of_tls or protocol.endswith("SSL"))
        and len(names & _KAFKA_OWN) != 1
        and all(
            Path(file).is_absolute() for name, file in found.items() if name.endswith(_KAFKA_FILE)
        )
    )
    if not is_sound:
        raise ValueError
    return found


def address(host: str, port: int) -> str:
    """Return host and port as URLs and clients take them, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_ssl(text: str) -> dict[str, str]:
    """Return the parameters of TLS by name, as libpq reads them.

    Raises:
        ValueError: libpq cannot, or its parameters are others than those of TLS.
    """
    if not text:
        return {}
    # A quarter of a second; hardly anybody sets such a variable.
    from psycopg import ProgrammingError  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        found = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except ProgrammingError as error:
        raise ValueError from error
    mode = found.get("sslmode")
    files = found.keys() - {"sslmode"}
    is_sound = (
        mode in _SSL_MODES
        and files <= _SSL_FILES
        and all(Path(found[name]).is_absolute() for name in files)
        and ("sslcert" in files) == ("sslkey" in files)
        # Debezium's driver verifies nothing with `require`, and libpq does if it has a CA.
        and ("sslrootcert" in files) == mode.startswith("verify-")
    )
    if not is_sound:
        raise ValueError
    return found


def _kept(parse: Callable[[str], object]) -> AfterValidator:
    """Return the check that a text can be parsed; the text stays as it is."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


Host = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.:_-]+$"), Allowed("the name or address of a machine", "host")
]
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"),
    Allowed("letters, digits and _, after the first also . and -", "name"),
]
PostgresName = Annotated[
    str,
    Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$"),
    Allowed("up to 63 small letters, digits and _, no digit first", "name"),
]
BucketPrefix = Annotated[
    str,
    Field(pattern=r"^([a-z0-9][a-z0-9-]{0,55})?$"),
    Allowed("up to 56 small letters, digits and -, no - first", "text"),
]
KafkaSecurity = Annotated[
    str,
    _kept(parse_security),
    Allowed(
        "security.protocol; with SASL also sasl.mechanism (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 "
        "with sasl.username and sasl.password.file; OAUTHBEARER with sasl.oauthbearer.client.id, "
        "sasl.oauthbearer.client.secret.file, sasl.oauthbearer.token.endpoint.url, and where "
        "needed sasl.oauthbearer.scope and https.ca.location); with SSL also ssl.ca.location, and "
        "ssl.certificate.location with ssl.key.location; files by absolute path, such as "
        "security.protocol=SSL ssl.ca.location=/etc/shop/ca.pem",
        "properties",
    ),
]
SslParameters = Annotated[
    str,
    _kept(parse_ssl),
    Allowed(
        "libpq's parameters: sslmode, and by absolute path sslrootcert (with verify-ca or "
        "verify-full) and sslcert with sslkey, such as sslmode=verify-full "
        "sslrootcert=/etc/shop/ca.pem",
        "parameters",
    ),
]
Currency = Annotated[
    str, Field(pattern=r"^[A-Z]{3}$"), Allowed("three capital letters, such as EUR", "currency")
]
TimeZone = Annotated[
    str,
    AfterValidator(_is_known_zone),
    Allowed("the name of a time zone, such as Europe/Paris", "time zone"),
]
WebAddress = Annotated[
    str,
    Field(pattern=r"^https?://\S+$"),
    Allowed("an address that begins with http or https", "URL"),
]
# Programs that get the path run in other directories.
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One setting, as people see it.

    Attributes:
        default: the value on this machine.
        shown: the default in words that hold on every machine.
        change: when to set it.
    """

    name: str
    field: str
    default: str
    shown: str
    unit: str
    allowed: str
    description: str
    change: str


def setting(
    default: Any = ...,  # noqa: ANN401 - of each setting's type
    description: str = "",
    *,
    change: str,
    unit: str = "",
    shown: str = "",
    **options: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - pydantic makes a setting of it
    """Define a setting.

    Args:
        default: its value where its variable is not set.
        description: what it is, one sentence.
        change: when to set it, one sentence.
        unit: of its value, where neither its name nor its type says it.
        shown: its default in words, where that depends on the machine or on other settings.
        options: limits and more, as of `pydantic.Field`.
    """
    told: dict[str, JsonValue] = {"change": change, "unit": unit, "shown": shown}
    return Field(default, description=description, json_schema_extra=told, **options)


def name_of(group: type[BaseModel], field: str) -> str:
    """Return the environment variable of a setting."""
    return f"{group.model_config.get('env_prefix', '')}{field}".upper()


def variables_of(group: type[BaseModel]) -> list[Variable]:
    """The settings of a group, in their order."""
    return [_variable(group, name, field) for name, field in group.model_fields.items()]


def _variable(group: type[BaseModel], name: str, field: FieldInfo) -> Variable:
    told = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = str(field.get_default(call_default_factory=True, validated_data={}))
    return Variable(
        name=name_of(group, name),
        field=name,
        default=default,
        shown=str(told.get("shown") or (f"`{default}`" if default else "")),
        unit=str(told.get("unit") or _unit(name, field)),
        allowed=allowed(field),
        description=field.description or "",
        change=str(told.get("change") or ""),
    )


def _unit(name: str, field: FieldInfo) -> str:
    if (mark := _mark(field)) is not None:
        return mark.unit
    kinds = {Path: "path", str: "text"}
    last = name.rpartition("_")[2]
    if choices := _choices(field.annotation):
        return " or ".join(choices)
    return _UNITS.get(last) or kinds.get(_plain(field.annotation), "")


def _choices(annotation: object) -> tuple[str, ...]:
    """Return what a setting may be one of, or nothing if that is not how it is limited."""
    for one in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(one) is Literal:
            return typing.get_args(one)
    return ()


def allowed(field: FieldInfo) -> str:
    """What a setting may hold, in words."""
    if (mark := _mark(field)) is not None:
        return mark.words
    if choices := _choices(field.annotation):
        return "one of " + ", ".join(choices)
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
        is_now = f"{name_of(group, name)} is {_masked(str(problem['input']))!r}"
        lines.append(f"{is_now}; allowed is {allowed(field)}.")
    return "\n".join([*lines, "Correct it, or unset it to use the default."])


def _masked(text: str) -> str:
    """Leave out passwords: of a URL, and what begins with a property of such a name.

    To the end, as nobody knows where a value ends in a text that cannot be parsed.
    """
    return _PROPERTY.sub(r"\1***", _URL.sub(r"\1***", text))


def _bound(limit: object) -> str:
    for name, words in _BOUNDS.items():
        if (value := getattr(limit, name, None)) is not None:
            return f"{words} {value}"
    return ""


def _mark(field: FieldInfo) -> Allowed | None:
    """What its annotation says in words, also where the value may be absent."""
    marks = [*field.metadata]
    for part in typing.get_args(field.annotation):
        marks += getattr(part, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, Allowed)), None)


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - annotations are of any type
    """Return the type itself, if the annotation allows None."""
    parts = [part for part in typing.get_args(annotation) if part is not types.NoneType]
    return _plain(parts[0]) if parts else annotation
