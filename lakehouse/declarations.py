"""Declarations in YAML files, read into frozen models; errors name file and line."""

import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from lakehouse.choices import meant
from lakehouse.errors import PipelineError, StopPipelineError, together

_Model = TypeVar("_Model")
_ROOT = Path(__file__).resolve().parent.parent
# Several times as fast as the one in Python; every command reads some files.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEYS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_IMPOSSIBLE = (ValueError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for a value that its tag does not fit, such as `!!int ""`."""
_DEFERRED: ContextVar[bool] = ContextVar("deferred", default=False)
_CORRECT = "Correct the file: correct the value."
_ACTIONS = {
    "extra_forbidden": "Correct the file: remove it, or correct its name.",
    "unexpected_keyword_argument": "Correct the file: remove it, or correct its name.",
    "missing": "Correct the file: add it.",
}
"""What to do about errors of pydantic's; about others, the value has to be corrected. The first
that occurs is shown: a misspelled key is missing, too."""


@contextmanager
def faults_deferred() -> Iterator[None]:
    """Let what is imported here keep the fault of a mapping, for who imports it to tell."""
    token = _DEFERRED.set(True)
    try:
        yield
    finally:
        _DEFERRED.reset(token)


def are_faults_deferred() -> bool:
    """Return whether whoever imports contracts tells a mapping's fault."""
    return _DEFERRED.get()


class Declaration(BaseModel):
    """A part of a declaration. Keys that it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MisplacedError(ValueError):
    """What a validator raises about a part of the value that it has validated.

    Attributes:
        place: keys and indexes that lead from the value to that part.
        action: what to do about it, as sentences; "" if that is to correct the value.
    """

    def __init__(self, problem: str, *place: str | int, action: str = "") -> None:
        super().__init__(problem)
        self.place = place
        self.action = action


class Faults:
    """All that is wrong with a file. As a context, it collects what would be raised in it."""

    def __init__(self) -> None:
        self.found: list[MisplacedError] = []

    def __enter__(self) -> None:
        """Collect from here on."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Keep a `MisplacedError`, and let all others pass."""
        if isinstance(error, MisplacedError):
            self.found.append(error)
            return True
        return False


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
            action = f"{close}{_plural(what)}: {', '.join(known)}."
            problem = f"there is no {what} {name!r}"
            raise MisplacedError(problem, *place, action=action)


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
        if isinstance(cause, MisplacedError):
            place = (*first["loc"], *cause.place)
            raise _refused_at(path, root, [(place, str(cause), cause.action)]) from None
        place = first["loc"]
        told = first["msg"].removeprefix("Value error, ")
        if cause is None and first["type"] != "missing":
            told += f", found {reprlib.repr(first['input'])}"
        action = _ACTIONS.get(first["type"], _CORRECT)
        where = ".".join(str(part) for part in place)
        told = f"{where}: {told}" if where else told
        raise _refused(path, _line(root, place), told, action) from None
    except RecursionError as error:
        raise _too_deep(path) from error


def read_with_faults(path: Path, read: Callable[[dict[str, Any], Faults], _Model]) -> _Model:
    """Read a file of which all faults are told at once.

    Args:
        path: of the file.
        read: makes a model of its values, and collects what is wrong with them.

    Raises:
        StopPipelineError: it is no YAML, repeats a key, or is wrong; in a line for each fault.
    """
    root, values = _parsed(path)
    faults = Faults()
    try:
        with faults:
            found = read(values, faults)
    except RecursionError as error:
        raise _too_deep(path) from error
    if faults.found:
        raise _refused_at(path, root, [(one.place, str(one), one.action) for one in faults.found])
    return found


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a file that holds a mapping, whatever its values are.

    Raises:
        StopPipelineError: it is no YAML, no mapping, or repeats a key.
    """
    return _parsed(path)[1]


def misplaced(
    path: Path, place: Sequence[str | int], problem: str, action: str = ""
) -> PipelineError:
    """Return the error that a part of a file does not fit other files."""
    return refused(path, [MisplacedError(problem, *place, action=action)])


def refused(path: Path, faults: Iterable[MisplacedError]) -> PipelineError:
    """Return the error that parts of a file do not fit what is outside it, a line for each.

    What is said of several parts in the same words is one fault, with the other parts' lines.
    """
    root = _parsed(path)[0]
    return _refused_at(path, root, [(one.place, str(one), one.action) for one in faults])


def _refused_at(
    path: Path, root: Node, faults: Iterable[tuple[Sequence[str | int], str, str]]
) -> PipelineError:
    alike: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for place, problem, action in faults:
        where = ".".join(str(part) for part in place)
        alike.setdefault((problem, action), []).append((_line(root, place), where))
    told = []
    for (problem, action), places in alike.items():
        (line, where), *others = sorted(places)
        also = f" (also in {', '.join(_numbers(others))})" if others else ""
        text = f"{where}: {problem}{also}" if where else f"{problem}{also}"
        told.append((line, _refused(path, line, text, action)))
    return together([error for _, error in sorted(told, key=lambda one: one[0])])


def _numbers(places: Iterable[tuple[int, str]]) -> Iterator[str]:
    yield from dict.fromkeys(f"line {line + 1}" for line, _ in places)


def _refused(path: Path, line: int, told: str, action: str = "") -> StopPipelineError:
    shown = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path
    return StopPipelineError(f"{shown}:{line + 1}: {told}", action or _CORRECT)


def _too_deep(path: Path) -> StopPipelineError:
    return _refused(path, 0, "it is nested too deeply", "Correct the file: simplify it.")


def _parsed(path: Path) -> tuple[MappingNode, dict[str, Any]]:
    text = path.read_bytes()
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if not isinstance(root, MappingNode):
            raise _refused(
                path,
                0,
                "it is no mapping of keys to values",
                "Correct the file: write `key: value`.",
            )
        _require_keys(path, root)
        return root, _constructed(loader, root)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else text.count(b"\n", 0, getattr(error, "position", 0))
        told = getattr(error, "problem", None) or error
        raise _refused(path, line, f"not YAML: {told}", "Correct its syntax.") from error


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
    """Refuse keys that are no text, or occur twice, of which YAML would take the last."""
    wrong = []
    for node in _nodes(root):
        seen: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, MappingNode) else ():
            line = key.start_mark.line
            if key.tag not in _KEYS:
                shown = f': "{key.value}"' if isinstance(key, ScalarNode) else ""
                action = f"Write it in quotes{shown}."
                wrong.append((line, _refused(path, line, "a key is no text", action)))
            elif key.value in seen:
                problem = f"the key {key.value} is given twice, first in line {seen[key.value] + 1}"
                wrong.append((line, _refused(path, line, problem, "Remove one of the two.")))
            else:
                seen[key.value] = line
    if wrong:
        raise together([error for _, error in sorted(wrong, key=lambda one: one[0])])


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
