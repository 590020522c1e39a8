"""The commit protocol: rows, and how far they go, land together, once.

Bronze, silver, gold and the live overlay keep to it. The order of steps is the guarantee:

1. Read the watermarks on the table's handle.
2. Compare them with what the batch covers: keep what lies beyond a watermark, drop what it covers
   already; where it lies *before* the beginning, that is an offset gap (`plan_commit`).
3. Write the kept rows and the new watermarks in one commit on that same handle.
4. Any exception means *unknown*: the commit may have landed. Reopen, and go to 1 (`until_known`).

What a former owner of a partition still tries to write is dropped in step 2, since its successor
has moved the watermark. Protocol: Delta's application transactions (`txn` actions), see the Delta
protocol, "Transaction Identifiers".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from lakehouse.delta import explain_store, is_of_store
from lakehouse.errors import StopPipelineError
from lakehouse.offsets import OffsetRange

Partition = TypeVar("Partition")
Result = TypeVar("Result")
_TRIES = 6
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Generic[Partition]):
    """What of a batch is to be committed, against the watermarks of one moment.

    Attributes:
        keep: what is new, of each partition that has something to commit.
        gaps: partitions whose watermark lies behind the batch, and the offset to read again from.
    """

    keep: Mapping[Partition, OffsetRange]
    gaps: Mapping[Partition, int]


def plan_commit(
    covered: Mapping[Partition, OffsetRange], positions: Mapping[Partition, int]
) -> Plan[Partition]:
    """Step 2 for every partition of a batch.

    Args:
        covered: by the batch.
        positions: the first offset that the table does not have.
    """
    keep: dict[Partition, OffsetRange] = {}
    gaps: dict[Partition, int] = {}
    for partition, offsets in covered.items():
        start = positions[partition]
        if start < offsets.start:
            gaps[partition] = start
        elif start < offsets.stop:
            keep[partition] = OffsetRange(start=start, stop=offsets.stop)
    return Plan(keep=keep, gaps=gaps)


def until_known(
    attempt: Callable[[], Result],
    *,
    reopen: Callable[[], object],
    wait: Callable[[int, Exception], None],
) -> Result:
    """Step 4: repeat an attempt until it is known what became of it.

    Args:
        attempt: steps 1 to 3.
        reopen: lets the handle see the newest version; called before each repetition.
        wait: called after each failed attempt with its number, from 1, and the error; backs off,
            or raises to give up.

    Raises:
        Whatever `wait` raises. The batch has then landed, or not; a later attempt will know.
        StopPipelineError: raised by the attempt, passed on: no repetition helps.
    """
    tries = 0
    while True:
        try:
            if tries:
                reopen()
            return attempt()
        except StopPipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - every failure means "unknown"
            tries += 1
            wait(tries, error)


def a_few_times(
    uri: str, pause: Callable[[float], None] = time.sleep
) -> Callable[[int, Exception], None]:
    """Return a `wait` that backs off up to six times, where the object store is the reason.

    It raises what `lakehouse.delta.explain_store` makes of the last error, and any other as it is.
    """

    def wait(tries: int, error: Exception) -> None:
        explained = explain_store(error, f"{uri}: could not commit")
        if explained is None:
            raise error
        if tries == _TRIES or not is_of_store(error):
            raise explained from error
        _log.info("commit_unknown", table=uri, tries=tries, error=str(error))
        pause(0.1 * 2**tries)

    return wait
