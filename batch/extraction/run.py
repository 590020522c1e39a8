"""An extraction: Debezium reads tables again; after all of their rows, missed deletes are written.

Configured by the environment.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from batch.extraction.limit import DeleteLimit
from batch.extraction.search import MissedDeletes, write_missed_deletes
from batch.reconcile import ReconcileConfig
from batch.runs import Kind, recorded
from connectors.captured import choose, read_captured
from connectors.extraction import Extractions
from connectors.progress import Progress
from connectors.readers import require_all_rows
from connectors.request import Request, parse_days
from lakehouse.connections import warehouse
from lakehouse.kafka import captured_topic
from lakehouse.offsets import OffsetRange, TopicPartition
from lakehouse.postgres import oltp_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import OltpSettings, ShopSettings

_WORDS = "./pipeline extract --full has read all rows again"


class Losses(Protocol):
    """The loss ledger. Both methods raise RetryLaterError if a service does not answer."""

    def record_resolved(self, topics: Collection[str], words: str) -> None:
        """Record that these topics' losses are resolved, up to the current ends."""

    def record_truncated(
        self, ended: Collection[tuple[TopicPartition, OffsetRange]], words: str
    ) -> None:
        """Record where rows ended without deletes, and that these losses are resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """Result of an extraction: what was read, and the missed deletes that were written."""

    request: Request
    read: Progress
    missed: MissedDeletes

    def to_json(self) -> dict[str, object]:
        """Return what `./pipeline extract --format json` prints."""
        days, missed = self.request.days, self.missed
        columns = {table.table_name: table.dated_by for table in self.request.tables}
        return {
            "extraction": self.read.to_json(),
            "days": days
            and {"start_at": days.start_at, "stop_at": days.stop_at, "columns": columns},
            "deletes": [asdict(delete) for delete in missed.written],
            "deletes_not_looked_for": missed.not_checked,
            "accounted_for": {
                topic: [asdict(one) for one in ranges] for topic, ranges in missed.untold.items()
            },
        }


def requested(
    secrets: Secrets, names: Sequence[str], since: str | None, until: str | None
) -> tuple[Request, tuple[str, ...]]:
    """Return the request for these tables, and the names of tables that cannot be extracted.

    Args:
        secrets: secrets of the role `oltp_extract`.
        names: shop tables; all if empty.
        since: the first day, YYYY-MM-DD; None for all rows.
        until: the last day, inclusive; None for no end.

    Raises:
        WrongArgumentError: a table or a day makes no sense, or the tables are too many.
        StopPipelineError: a reading role does not see all rows.
        RetryLaterError: the shop's database does not answer.
    """
    zone = ShopSettings().time_zone
    today = datetime.now(tz=ZoneInfo(zone)).date()
    days = None if since is None else parse_days(since, until, time_zone=zone, today=today)
    dsn = oltp_dsn(OltpSettings(), secrets, role="extract")
    tables, left_out = choose(read_captured(dsn), names, is_dated=days is not None)
    require_all_rows(dsn, [table.table_name for table in tables])
    request = Request(tables=tables, days=days)
    request.data()
    return request, left_out


def extract(
    secrets: Secrets,
    request: Request,
    *,
    limit: DeleteLimit,
    losses: Losses,
    on_found: Callable[[Progress], None],
    on_progress: Callable[[str], None],
) -> Extracted:
    """Read the tables; after a complete full extraction, write missed deletes. Keeps a record.

    Args:
        secrets: all secrets.
        request: what to read.
        limit: limit of deletes.
        losses: receives what a full extraction resolves.
        on_found: called if the same extraction is running already; it is then followed.
        on_progress: called with a short description of each step.

    Raises:
        StopPipelineError: changes do not flow, or the limit of deletes is exceeded.
        RetryLaterError: a service does not answer, or another extraction is running.
    """
    days = request.days
    scope = {
        "tables": request.names,
        "since": days and days.first,
        "until": days and days.last,
        "is_full": days is None,
    }
    with (
        # An extraction must be possible while the warehouse is down.
        recorded(warehouse("batch"), kind=Kind.EXTRACTION, scope=scope, is_required=False) as run,
        Extractions.of_settings(secrets) as extractions,
    ):

        def show(one: Progress) -> None:
            on_progress(one.in_a_line())

        begun = extractions.start(request, on_found)
        read = extractions.read_unknown(request, extractions.follow(begun, show), show)
        missed = MissedDeletes()
        if read.is_complete and days is None:
            missed = _mend(secrets, request, limit, losses, on_progress)
        rows = sum(table.rows or 0 for table in read.tables)
        run.note(rows_read=rows, rows_written=len(missed.written), details=read.to_json())
    return Extracted(request=request, read=read, missed=missed)


def _mend(
    secrets: Secrets,
    request: Request,
    limit: DeleteLimit,
    losses: Losses,
    on_progress: Callable[[str], None],
) -> MissedDeletes:
    """Write missed deletes, then record the losses of the checked tables as resolved."""
    config = ReconcileConfig()
    missed = write_missed_deletes(
        secrets, config, request.names, limit=limit, on_progress=on_progress
    )
    read_again = set(request.names) - set(missed.not_checked)
    prefix = config.connect.topic_prefix
    losses.record_resolved({captured_topic(prefix, name) for name in read_again}, _WORDS)
    losses.record_truncated(missed.ended(), _WORDS)
    return missed
