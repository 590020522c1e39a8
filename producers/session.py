"""A shop that is loaded from its database and written back transaction by transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog

from lakehouse.errors import StopPipelineError
from producers.engine import make_shop
from producers.keys import LOW, Keys
from producers.maintenance import begin_maintenance
from producers.meter import Meter
from producers.resume import restore
from producers.rows import COLUMNS_OF
from producers.seed_data import KEYS_NEEDED, open_shop
from producers.shop import Shop
from producers.stored import read_stored
from producers.throttle import slot_share, speed
from producers.visits import open_doors
from producers.writer import ShopChangedError, Writer

_MOST_RELOADS = 5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Parameters of a whole run.

    Attributes:
        slot_budget: share of the slot's WAL limit above which the simulator slows down.
    """

    seed: int
    dirt_percent: float
    base_currency: str
    zone: ZoneInfo
    slot_name: str
    slot_budget: float


class Session:
    """One shop and the writer of its database.

    Attributes:
        shop: state after the last `advance`; `commit` stores the changes.
        meter: totals of committed transactions; replace it to start from zero.
        slot_share: retained WAL of the connector's slot at the last measurement, as a share of its
            limit.
    """

    shop: Shop

    def __init__(self, writer: Writer, terms: Terms) -> None:
        self.writer = writer
        self.terms = terms
        self.meter = Meter()
        self.slot_share = 0.0
        self._reloads = 0

    def load(self, *, day_length: float, moment: float, now: datetime) -> None:
        """Load the stored shop; fill it with seed data if it is empty.

        Args:
            day_length: orders per day of the shop.
            moment: moment from which events are scheduled, counted in orders.
            now: the instant of `moment`.
        """
        stored, keys = self.writer.run(read_stored), Keys()
        self._reserve(keys, LOW if stored.products else KEYS_NEEDED)
        self.shop = shop = make_shop(
            seed=self.terms.seed,
            orders_before=self.writer.progress.orders,
            dirt_percent=self.terms.dirt_percent,
            base_currency=self.terms.base_currency,
            keys=keys,
        )
        shop.day_length, shop.moment, shop.now = day_length, moment, now
        if not restore(shop, stored):
            open_shop(shop)
            shop.changes.last_timestamp = now
        begin_maintenance(shop)
        open_doors(shop)

    def commit(self, reload: Callable[[], None]) -> None:
        """Commit the changes since the last commit in one transaction.

        Args:
            reload: called when another writer changed rows that the changes refer to.
        """
        changes = self.shop.take_changes()
        if changes.count:
            try:
                self.meter.add(self.writer.write(changes))
                self._reloads = 0
            except ShopChangedError as error:
                self._count_reload(error)
                reload()
                return
        if self.shop.keys.is_low:
            self._reserve(self.shop.keys, LOW)

    def measure_slot(self) -> float:
        """Return the allowed fraction of full speed, by the WAL that the slot retains now."""
        share = self.writer.run(lambda connection: slot_share(connection, self.terms.slot_name))
        before = speed(self.slot_share, self.terms.slot_budget)
        self.slot_share, now = share, speed(share, self.terms.slot_budget)
        if (before < 1) != (now < 1):
            event = "slowed_down_for_slot" if now < 1 else "full_speed_again"
            log.warning(event, slot=self.terms.slot_name, share_of_wal=round(share, 3))
        return now

    def _count_reload(self, error: ShopChangedError) -> None:
        self._reloads += 1
        if self._reloads > _MOST_RELOADS:
            problem = f"{error}. Reloading the shop did not help, {_MOST_RELOADS} times"
            action = (
                "Find out what else writes to schema public with keys of its own choice, and stop "
                "it."
            )
            raise StopPipelineError(problem, action) from error
        log.warning("shop_changed_by_others", reason=str(error).strip())

    def _reserve(self, keys: Keys, at_least: int) -> None:
        wanted = keys.wanted(at_least)
        columns = {table: (COLUMNS_OF[table][0], count) for table, count in wanted.items()}
        for table, found in self.writer.reserve(columns).items():
            keys.add(table, found)
