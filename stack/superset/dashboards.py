"""Import of the repository's dashboards into Superset, and export of changes made there."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.postgres import sqlalchemy_url, warehouse_dsn
from lakehouse.secrets import Secrets
from stack.paths import StackConfig
from stack.superset.absent import absent_charts, with_absent, without_absent
from stack.superset.columns import Source, read_sources
from stack.superset.files import FOLDER, Files, read_files, write_files
from stack.superset.from_superset import from_bundle
from stack.superset.labels import FILE, Labels, read_labels
from stack.superset.names import KINDS, id_of, is_derived, title_of
from stack.superset.rest import Superset, logged_in
from stack.superset.state import read_state, write_state
from stack.superset.to_superset import Place, to_bundle
from stack.web_uis import WEB_UIS

_ROLE = "reader"
"""The warehouse's role for charts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Result of an import, for one kind of object. Each attribute lists titles.

    Attributes:
        written: created or updated from their files.
        deleted: objects whose file was deleted.
        left: objects created in the browser, without a file.
    """

    kind: str
    written: tuple[str, ...]
    deleted: tuple[str, ...]
    left: tuple[str, ...]


class Dashboards:
    """Dashboards of one stack."""

    def __init__(self, config: StackConfig, secrets: Secrets, folder: Path = FOLDER) -> None:
        self._config = config
        self._secrets = secrets
        self._folder = folder

    def apply(self) -> list[Applied]:
        """Import the files into Superset.

        Objects created in the browser and not exported are kept; changes made there to objects of
        files and not exported are overwritten.

        Raises:
            RetryLaterError: Superset or the warehouse does not answer.
            StopPipelineError: a file is invalid.
        """
        files = read_files(self._folder)
        bundle = self._bundle(files)
        with self._session() as session:
            session.import_assets(bundle)
            done = [_tidy(session, kind, files[kind]) for kind in reversed(KINDS)]
        write_state(self._config.warehouse, self._secrets, applied=self._digest(bundle))
        return list(reversed(done))

    def apply_if_changed(self) -> bool:
        """Import unless the same files were imported last, so that later edits are kept."""
        if self.is_applied():
            return False
        self.apply()
        return True

    def is_applied(self) -> bool:
        """Return whether the same files were imported last."""
        files = read_files(self._folder)
        bundle = self._bundle(files)
        state = read_state(self._config.warehouse, self._secrets)
        return state.get("applied") == self._digest(bundle)

    def export(self) -> list[Path]:
        """Export Superset's objects into the files; returns the changed files.

        Raises:
            RetryLaterError: Superset or the warehouse does not answer.
        """
        known = read_files(self._folder)
        with self._session() as session:
            bundle = session.export_assets()
        currency = self._config.shop.base_currency
        labels = self._labels()
        exported = from_bundle(bundle, known, self._sources, currency, labels)
        files = with_absent(exported, labels, absent_charts())
        changed = write_files(files, self._folder)
        same = self._bundle(files)
        write_state(self._config.warehouse, self._secrets, applied=self._digest(same))
        return changed

    def _session(self) -> AbstractContextManager[Superset]:
        who = WEB_UIS["superset"](self._config, self._secrets)
        return logged_in(who.url, who.user, who.password)

    def _bundle(self, files: Files) -> dict[str, Any]:
        labels = self._labels()
        shown = without_absent(files, labels, absent_charts())
        return to_bundle(shown, self._sources(files["datasets"]), self._place(), labels)

    def _sources(self, datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Source]:
        dsn = warehouse_dsn(self._config.warehouse, self._secrets, role=_ROLE)
        return read_sources(dsn, datasets)

    def _place(self) -> Place:
        warehouse = self._config.stack.seen_by_services(self._config.warehouse)
        shop = self._config.shop
        return Place(
            url=sqlalchemy_url(
                warehouse,
                driver="psycopg2",
                role=_ROLE,
                password=self._secrets[f"warehouse_{_ROLE}"],
                database=warehouse.database,
            ),
            time_zone=shop.time_zone,
            currency=shop.base_currency,
        )

    def _labels(self) -> Labels:
        shop = self._config.shop
        return read_labels(shop.language, shop.time_zone, self._folder / FILE.name)

    @staticmethod
    def _digest(bundle: Mapping[str, Any]) -> str:
        return hashlib.sha256(json.dumps(bundle, sort_keys=True).encode()).hexdigest()


def _tidy(session: Superset, kind: str, contents: Mapping[str, Mapping[str, Any]]) -> Applied:
    """Delete objects whose file was deleted."""
    wanted = {id_of(kind, name, content) for name, content in contents.items()}
    others = [one for one in session.list(kind) if str(one["uuid"]) not in wanted]
    gone = [one for one in others if is_derived(str(one["uuid"]))]
    if gone:
        session.delete(kind, [one["id"] for one in gone])
    return Applied(
        kind=kind,
        written=tuple(title_of(kind, {**c, "table_name": name}) for name, c in contents.items()),
        deleted=tuple(title_of(kind, one) for one in gone),
        left=tuple(title_of(kind, one) for one in others if one not in gone),
    )
