"""Versions of code and contracts: short digests of what determines a result.

They are the same on every machine, in every process and in an image without git: only paths and
contents count. Versions of libraries are not included; they are in `locks/`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from lakehouse.contracts import ENTITIES, Entity
from lakehouse.settings import ROOT

_DIGITS = 12
_FOLDERS = ("lakehouse", "batch", "consumers", "connectors", "replay", "warehouse_sql")
_SUFFIXES = (".py", ".sql", ".yaml")
_RULES = ("lakehouse/contracts", "lakehouse/cleaning")
"""What reads a contract, which is not visible in its declaration."""


@cache
def code_version(root: Path = ROOT) -> str:
    """Return the digest of all code between Kafka and the warehouse, by path and content."""
    return _short(_files(root, _FOLDERS))


@cache
def contract_version(entity: str, root: Path = ROOT) -> str:
    """Return the digest of the contract of one shop table.

    It changes with the declaration, and with any file of contracts or cleaning. Validation can only
    differ if the version differs; the reverse does not hold.

    Raises:
        KeyError: there is no such table.
    """
    return declared_version(ENTITIES[entity], root)


@cache
def contracts_version(root: Path = ROOT) -> str:
    """Return the digest of all contracts together."""
    return _short(f"{name} {contract_version(name, root)}".encode() for name in sorted(ENTITIES))


@cache
def distributed_version(root: Path = ROOT) -> str:
    """Return the digest of what computes rows on other machines, contracts in effect included."""
    return _short([contracts_version(root).encode(), *_files(root, ("lakehouse", "batch"))])


def declared_version(entity: Entity, root: Path = ROOT) -> str:
    """Return the digest of any declaration, as `contract_version` does for the shop's."""
    return _short([repr(entity).encode(), *_files(root, _RULES)])


def _files(root: Path, folders: Iterable[str]) -> Iterator[bytes]:
    for folder in folders:
        paths = (path for path in (root / folder).rglob("*") if path.suffix in _SUFFIXES)
        for path in sorted(paths, key=lambda path: path.as_posix()):
            yield path.relative_to(root).as_posix().encode()
            yield path.read_bytes()


def _short(parts: Iterable[bytes]) -> str:
    """Hash each part by itself, so that the boundaries between parts count."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:_DIGITS]
