"""Commit protocol: rows and watermarks are written together, exactly once.

Bronze, silver, gold and the live overlay follow it. The order of steps is the guarantee:

1. Read the watermarks on the table's handle.
2. Compare them with the range of the batch: keep what is beyond a watermark, drop what is below.
   A batch that begins after the watermark would leave an offset gap (`plan_commit`).
3. Write the kept rows and the new watermarks in one commit on that same handle.
4. Any exception means *unknown*: the commit may have succeeded. Reopen, return to 1
   (`until_known`).

Writes of a partition's former owner are dropped in step 2, because its successor has advanced the
watermark. Protocol: Delta's application transactions (`txn` actions), see the Delta
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
    """What to commit of a batch, given the watermarks at one moment.

    Attributes:
        keep: the new range of each partition that has one.
        gaps: partitions with an offset gap before the batch, and the offset to resume reading from.
    """

    keep: Mapping[Partition, OffsetRange]
    gaps: Mapping[Partition, int]


def plan_commit(
    covered: Mapping[Partition, OffsetRange], positions: Mapping[Partition, int]
) -> Plan[Partition]:
    """Compare a batch with the watermarks (step 2), for all its partitions.

    Args:
        covered: ranges of the batch.
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
    """Repeat an attempt until its outcome is known (step 4).

    Args:
        attempt: steps 1 to 3.
        reopen: refreshes the handle to the newest version; called before each repetition.
        wait: called after each failed attempt with its number, from 1, and the error; backs off,
            or raises to give up.

    Raises:
        Exception: raised by `wait`. Whether the batch was committed is then unknown.
        StopPipelineError: raised by the attempt and passed on, because repeating does not help.
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
    """Return a `wait` that backs off up to six times if the object store is the cause.

    After the last attempt it raises the error of `lakehouse.delta.explain_store`; other errors are
    raised as they are.
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
