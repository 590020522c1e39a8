"""Masks of columns: from contract files into the connector's configuration, and back.

Masks are applied by a converter in Connect, `java/masks/ColumnMasks.java`. Debezium's own
`column.mask.hash` is not used:

- Its salt is in the name of a property. Connect's REST interface, its log and its topic of
  configurations show names, and with the salt a hash of a phone number can be reversed.
- It lets values pass unmasked where a column is of another type than text, without a warning. A
  table that is created later, or a column whose type changes, must not lose its mask.
- It matches names regardless of case, cuts hashes to the length of the column, and hashes the
  placeholder of a large value that did not change.

There is none that keeps the last characters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from connectors.rest import ConnectApi
from connectors.shop_catalog import CatalogRow, catalog_of, is_text
from lakehouse.choices import meant
from lakehouse.contracts import Mask
from lakehouse.contracts.files import ContractFile, read_files, require_masks_only
from lakehouse.errors import Problem
from lakehouse.settings import ConnectSettings

Masks = Mapping[str, Mapping[str, Mask]]
"""Masks by table and column of the shop."""
Catalog = Mapping[str, Sequence[CatalogRow]]
SALT = "mask_salt"
"""The secret with the salt of hashes."""
_COLUMNS = "masks.columns"
_SCHEMA = "public."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The masks of all contract files.

    `unknown` has, for each table that the shop does not have, what to say about it.
    """

    masks: Masks = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def read_masks(folder: Path, dsn: str) -> Asked:
    """Read the masks of a folder's contract files, and check them against the shop's catalog.

    Args:
        folder: with contract files; it need not exist.
        dsn: any role of the shop's database, which is not asked if there are no masks.

    Raises:
        WrongArgumentError: a file is wrong, or a column cannot be masked like this; with file and
            line.
        RetryLaterError: the database does not answer.
    """
    files = read_files(folder)
    return checked(files, masked_catalog(dsn) if masks_of(files) else {})


def masks_of(files: Mapping[str, ContractFile]) -> Masks:
    """Return the masks of contract files."""
    return {table: dict(file.masks) for table, file in files.items() if file.masks}


def differing(one: Masks, other: Masks) -> list[str]:
    """Return the tables, sorted, whose columns are not masked alike."""
    return sorted(t for t in {*one, *other} if one.get(t, {}) != other.get(t, {}))


def masked_catalog(dsn: str) -> Catalog:
    """Return the columns of the captured tables.

    Raises:
        RetryLaterError: the database does not answer.
    """
    return catalog_of(dsn, "Masks cannot be checked against the shop's catalog")


def checked(files: Mapping[str, ContractFile], catalog: Catalog) -> Asked:
    """Return the masks of contract files, if the shop's columns can be masked like this.

    Raises:
        WrongArgumentError: a column cannot, or a file about a table with a contract in
            `lakehouse/contracts/shop/` has more than masks.
    """
    masks, unknown = masks_of(files), []
    require_masks_only(files)
    for table, columns in masks.items():
        file = files[table]
        if table not in catalog:
            line = min(file.mask_place(column).line for column in columns)
            unknown.append(
                f"{file}:{line}: the shop has no table {table}. Its masks apply once it is created."
            )
            continue
        for column, mask in columns.items():
            hindrance = _hindrance(table, column, mask, catalog[table])
            if hindrance is not None:
                file.mask_place(column).refuse(hindrance.problem, hindrance.action)
    return Asked(masks=masks, unknown=tuple(unknown))


def hindrances(masks: Masks, catalog: Catalog) -> list[Problem]:
    """Return why columns cannot be masked like this any more, since the shop has changed."""
    found = [
        _hindrance(table, column, mask, catalog[table])
        for table, columns in masks.items()
        if table in catalog
        for column, mask in columns.items()
    ]
    return [one for one in found if one is not None]


def _hindrance(table: str, name: str, mask: Mask, rows: Sequence[CatalogRow]) -> Problem | None:
    by_name = {row.column_name: row for row in rows}
    row = by_name.get(name)
    if row is None:
        action = f"{meant([name], by_name)}Columns: {', '.join(by_name)}."
        return Problem(f"{table} has no column {name!r}", action)
    has_key = any(one.key_position is not None for one in rows)
    if row.key_position is not None or (row.is_in_unique_index and not has_key):
        action = "Remove `mask`: rows could not be told apart."
        return Problem(f"{name} identifies a row of {table}", action)
    if mask is not Mask.NULL and not is_text(row):
        problem = f"{table}.{name} is of type {row.declared}: {mask} is for texts"
        return Problem(problem, "Write `mask: null`.")
    return None


def properties(masks: Masks, salt: str) -> dict[str, str]:
    """Return what the connector's configuration says about masks; nothing without masks.

    Args:
        masks: the masks.
        salt: a placeholder that Connect resolves.
    """
    entries = [
        f"{_quoted(_SCHEMA + table)}/{_quoted(column)}={mask}"
        for table in sorted(masks)
        for column, mask in sorted(masks[table].items())
    ]
    if not entries:
        return {}
    return {
        "converters": "masks",
        "masks.type": "masks.ColumnMasks",
        _COLUMNS: ",".join(entries),
        # Debezium's log shows no property whose name ends in "password".
        "masks.salt.password": salt,
    }


def masks_in(config: Mapping[str, str]) -> Masks:
    """Return the masks of a connector's configuration: the inverse of `properties`."""
    found: dict[str, dict[str, Mask]] = {}
    for entry in filter(None, config.get(_COLUMNS, "").split(",")):
        place, _, mask = entry.rpartition("=")
        table, _, column = place.partition("/")
        columns = found.setdefault(unquote(table).removeprefix(_SCHEMA), {})
        columns[unquote(column)] = Mask(mask)
    return found


def masks_in_effect(connect: ConnectSettings) -> Masks:
    """Return the masks that the connector applies; none if it is not registered.

    Raises:
        RetryLaterError: Connect does not answer.
    """
    with ConnectApi.of(connect) as api:
        return masks_in(api.config() or {})


def _quoted(name: str) -> str:
    # Nothing remains that Connect, or a list of properties, gives a meaning of its own.
    return quote(name, safe="")
