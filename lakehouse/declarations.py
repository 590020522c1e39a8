"""Declarations in YAML files, read into frozen models; errors name file and line."""

import reprlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from lakehouse.choices import meant
from lakehouse.errors import StopPipelineError

_Model = TypeVar("_Model")
_ROOT = Path(__file__).resolve().parent.parent
# Several times as fast as the one in Python; every command reads some files.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEYS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_IMPOSSIBLE = (ValueError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for a value that its tag does not fit, such as `!!int ""`."""
_ACTIONS = {
    "extra_forbidden": "remove it, or correct its name",
    "unexpected_keyword_argument": "remove it, or correct its name",
    "missing": "add it",
}
"""What to do about errors of pydantic's; about others, the value has to be corrected. The first
that occurs is shown: a misspelled key is missing, too."""


class Declaration(BaseModel):
    """A part of a declaration. Keys that it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MisplacedError(ValueError):
    """What a validator raises about a part of the value that it has validated.

    Attributes:
        place: keys and indexes that lead from the value to that part.
    """

    def __init__(self, problem: str, *place: str | int) -> None:
        super().__init__(problem)
        self.place = place


def require_known(
    names: Iterable[object], known: Collection[str], what: str, *place: str | int
) -> None:
    """Refuse names that refer to nothing.

    Args:
        names: to be checked.
        known: names that exist.
        what: what they are names of, in the singular.
        place: keys and indexes that lead to them.

    Raises:
        MisplacedError: one is not known.
    """
    for name in names:
        # What is no text may not even be hashable.
        if not isinstance(name, str) or name not in known:
            close = meant([name], known) if isinstance(name, str) else ""
            message = f"there is no {what} {name!r}. {close}{_plural(what)}: {', '.join(known)}"
            raise MisplacedError(message, *place)


def _plural(noun: str) -> str:
    is_ies = noun[-1] == "y" and noun[-2] not in "aeo"
    return f"{noun[:-1]}ies".capitalize() if is_ies else f"{noun}s".capitalize()


def read_declaration(path: Path, model: TypeAdapter[_Model], **given: object) -> _Model:
    """Read a file.

    Args:
        path: of the file.
        model: what it must fit.
        given: values that the file need not repeat, such as the name of its folder.

    Raises:
        StopPipelineError: it is no YAML, repeats a key, contradicts `given`, or does not fit the
            model.
    """
    root, values = _parsed(path)
    for key, value in given.items():
        if values.get(key, value) != value:
            told = f"{key}: it is {value!r}, by the path, found {values[key]!r}"
            raise _refused(path, _line(root, [key]), told)
    try:
        return model.validate_python({**values, **given})
    except ValidationError as error:
        errors = {one["type"]: one for one in reversed(error.errors(include_url=False))}
        first = next((errors[kind] for kind in _ACTIONS if kind in errors), [*errors.values()][-1])
        cause = first.get("ctx", {}).get("error")
        place = (*first["loc"], *(cause.place if isinstance(cause, MisplacedError) else ()))
        told = first["msg"].removeprefix("Value error, ")
        if cause is None and first["type"] != "missing":
            told += f", found {reprlib.repr(first['input'])}"
        action = _ACTIONS.get(first["type"], "correct the value")
        where = ".".join(str(part) for part in place)
        told = f"{where}: {told}" if where else told
        raise _refused(path, _line(root, place), told, action) from None
    except RecursionError as error:
        raise _refused(path, 0, "it is nested too deeply", "simplify it") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a file that holds a mapping, whatever its values are.

    Raises:
        StopPipelineError: it is no YAML, no mapping, or repeats a key.
    """
    return _parsed(path)[1]


def misplaced(path: Path, place: Sequence[str | int], problem: str) -> StopPipelineError:
    """Return the error that a part of a file does not fit other files."""
    where = ".".join(str(part) for part in place)
    return _refused(path, _line(_parsed(path)[0], place), f"{where}: {problem}")


def _refused(
    path: Path, line: int, told: str, action: str = "correct the value"
) -> StopPipelineError:
    shown = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path
    return StopPipelineError(f"{shown}:{line + 1}: {told}", f"Correct the file: {action}.")


def _parsed(path: Path) -> tuple[MappingNode, dict[str, Any]]:
    text = path.read_bytes()
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if not isinstance(root, MappingNode):
            raise _refused(path, 0, "it is no mapping of keys to values", "write `key: value`")
        _require_keys(path, root)
        return root, _constructed(loader, root)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else text.count(b"\n", 0, getattr(error, "position", 0))
        told = getattr(error, "problem", None) or error
        raise _refused(path, line, f"not YAML: {told}", "correct its syntax") from error


def _constructed(loader: yaml.SafeLoader, root: Node) -> Any:  # noqa: ANN401 - whatever is written
    """Return the values of a file.

    Raises:
        ConstructorError: one is impossible, such as the 31st of February.
    """
    try:
        return loader.construct_document(root)
    except _IMPOSSIBLE as whole:
        for node in _nodes(root):
            try:
                _Loader("").construct_document(node)
            except _IMPOSSIBLE as error:
                if isinstance(node, ScalarNode):
                    mark = node.start_mark
                    raise yaml.constructor.ConstructorError(None, None, str(error), mark) from whole
        raise


def _require_keys(path: Path, root: Node) -> None:
    """Refuse a key that is no text, or occurs twice, of which YAML would take the last."""
    for node in _nodes(root):
        seen = set()
        for key, _ in node.value if isinstance(node, MappingNode) else ():
            line = key.start_mark.line
            if key.tag not in _KEYS:
                raise _refused(path, line, "a key is no text", "write it in quotes")
            if key.value in seen:
                raise _refused(path, line, f"the key {key.value} is given twice", "remove one")
            seen.add(key.value)


def _nodes(root: Node) -> Iterator[Node]:
    """Yield all nodes, in order, those with an anchor once."""
    seen, ahead = set(), [root]
    while ahead:
        node = ahead.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        if isinstance(node, MappingNode):
            ahead += (part for pair in reversed(node.value) for part in reversed(pair))
        elif isinstance(node, CollectionNode):
            ahead += reversed(node.value)


def _line(node: Node, place: Sequence[int | str]) -> int:
    """Return the line of the innermost part of `place` that the file has, from 0."""
    line = node.start_mark.line
    for part in place:
        if isinstance(node, MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if found:  # The last: those that are merged by `<<` come first.
                line, node = found[-1][0].start_mark.line, found[-1][1]
        elif isinstance(node, CollectionNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line
