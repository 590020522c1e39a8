"""Declarations in YAML files, read into frozen models; errors name file and line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lakehouse.errors import StopPipelineError

_Model = TypeVar("_Model")
_ROOT = Path(__file__).resolve().parent.parent
# Several times as fast as the one in Python; every command reads some files.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Declaration(BaseModel):
    """A part of a declaration. Keys that it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_declaration(path: Path, model: TypeAdapter[_Model], **given: object) -> _Model:
    """Read a file.

    Args:
        path: of the file.
        model: what it must fit.
        given: values that the file need not repeat, such as the name of its folder.

    Raises:
        StopPipelineError: it is no YAML, repeats a key, or does not fit the model.
    """
    loader = _Loader(path.read_text())
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _refused(path, 0 if mark is None else mark.line, f"is no YAML: {error}") from error
    if not isinstance(root, MappingNode):
        raise _refused(path, 0, "is no mapping of keys to values")
    for twice in _repeated(root):
        raise _refused(path, twice.start_mark.line, f"has the key {twice.value} twice")
    try:
        return model.validate_python({**given, **loader.construct_document(root)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise _refused(path, _line(root, first["loc"]), f"{place}: {told}".lstrip(": ")) from None


def _refused(path: Path, line: int, told: str) -> StopPipelineError:
    shown = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path
    return StopPipelineError(f"{shown}, line {line + 1}: {told}", "Correct the file.")


def _repeated(node: Node) -> Iterator[ScalarNode]:
    """Yield keys that occur twice in a mapping, of which YAML would take the last."""
    if isinstance(node, SequenceNode):
        for one in node.value:
            yield from _repeated(one)
    if not isinstance(node, MappingNode):
        return
    seen = set()
    for key, value in node.value:
        if key.value in seen:
            yield key
        seen.add(key.value)
        yield from _repeated(value)


def _line(node: Node, place: Sequence[int | str]) -> int:
    """Return the line of the innermost part of `place` that the file has, from 0."""
    line = node.start_mark.line
    for part in place:
        if isinstance(node, MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if found:
                line, node = found[0][0].start_mark.line, found[0][1]
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line
