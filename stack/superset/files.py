"""Dashboards as YAML files in a canonical form, so that changes have small diffs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from lakehouse.errors import StopPipelineError
from lakehouse.settings import ROOT
from stack.superset.names import KINDS

FOLDER = ROOT / "dashboards"
Files = dict[str, dict[str, dict[str, Any]]]
"""Contents by name, by kind."""
_INLINE = 88
"""Maximum length of a list or mapping that is written on one line."""


def read_files(folder: Path = FOLDER) -> Files:
    """Read all files, by kind and name.

    Raises:
        StopPipelineError: one of them is not valid YAML.
    """
    return {
        kind: {path.stem: _read(path) for path in sorted((folder / kind).glob("*.yaml"))}
        for kind in KINDS
    }


def write_files(files: Files, folder: Path = FOLDER) -> list[Path]:
    """Write changed files and delete obsolete ones; returns the affected paths."""
    changed = []
    for kind, contents in files.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            path = folder / kind / f"{name}.yaml"
            text = to_text(content)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
                changed.append(path)
        gone = [p for p in sorted((folder / kind).glob("*.yaml")) if p.stem not in contents]
        for path in gone:
            path.unlink()
        changed += gone
    return changed


def to_text(content: Mapping[str, Any]) -> str:
    """Return the canonical text of a file."""
    return yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        message = f"{path} is no YAML: {error}"
        raise StopPipelineError(message) from error
    if not isinstance(content, dict):
        message = f"{path} has to contain a mapping with a value for each key."
        raise StopPipelineError(message)
    return content


class _Dumper(yaml.SafeDumper):
    """YAML dumper: multi-line text as blocks, short lists on one line, others in block style."""

    @override
    def represent_data(self, data: Any) -> yaml.Node:
        node: yaml.Node = super().represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = _is_short(node)
        elif isinstance(data, str) and isinstance(node, yaml.ScalarNode) and "\n" in data:
            node.style = "|"
        return node

    @override
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _is_short(node: yaml.Node) -> bool:
    return _length(node) <= _INLINE and not _has_lines(node)


def _length(node: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode):
        return 2 + sum(_length(key) + _length(value) + 4 for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return 2 + sum(_length(value) + 2 for value in node.value)
    return len(node.value)


def _has_lines(node: yaml.Node) -> bool:
    if isinstance(node, yaml.MappingNode):
        return any(_has_lines(value) for _, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return any(_has_lines(value) for value in node.value)
    return "\n" in node.value
