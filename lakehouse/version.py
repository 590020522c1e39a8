"""Which code and which contracts made a result: short digests of what decides it.

They say the same on every machine, in every process and in an image without git: nothing but paths
and contents goes in. Versions of libraries do not: these are in `locks/`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import FunctionType

from lakehouse.contracts import ENTITIES, Entity
from lakehouse.settings import ROOT

_DIGITS = 12
_FOLDERS = ("lakehouse", "batch", "consumers", "connectors", "replay", "warehouse_sql")
_SUFFIXES = (".py", ".sql")
_RULES = ("lakehouse/contracts", "lakehouse/cleaning")
"""What a contract's rules call. They are functions, so a declaration alone would not tell."""


@cache
def code_version(root: Path = ROOT) -> str:
    """Of all code between Kafka and the warehouse, by path and content."""
    return _short(_files(root, _FOLDERS))


@cache
def contract_version(entity: str, root: Path = ROOT) -> str:
    """Of the contract of one table of the shop.

    It changes with the declaration. It also changes with any file of contracts or cleaning, as
    nothing tells which of these a rule uses: another version may validator as before, the same
    cannot validator otherwise.

    Raises:
        KeyError: there is no such table.
    """
    return declared_version(ENTITIES[entity], root)


@cache
def contracts_version(root: Path = ROOT) -> str:
    """Of all contracts together."""
    return _short(f"{name} {contract_version(name, root)}".encode() for name in sorted(ENTITIES))


def declared_version(entity: Entity, root: Path = ROOT) -> str:
    """As `contract_version`, of a contract that need not be one of the shop's."""
    return _short([_declared(entity).encode(), *_files(root, _RULES)])


def _files(root: Path, folders: Iterable[str]) -> Iterator[bytes]:
    for folder in folders:
        paths = (path for path in (root / folder).rglob("*") if path.suffix in _SUFFIXES)
        for path in sorted(paths, key=lambda path: path.as_posix()):
            yield path.relative_to(root).as_posix().encode()
            yield path.read_bytes()


def _declared(value: object) -> str:
    """What was declared, as text. A function is its name: its address differs by process."""
    if is_dataclass(value):
        parts = (f"{one.name}={_declared(getattr(value, one.name))}" for one in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, Mapping):
        return _declared(sorted(value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_declared, value))}]"
    if isinstance(value, FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


def _short(parts: Iterable[bytes]) -> str:
    """Each part is hashed by itself: where one ends and the next begins counts, too."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:_DIGITS]
