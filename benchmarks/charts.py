"""How long each chart's query takes on a large past, while nothing else runs and during a load.

The past ends an hour ago. What has been sold since then is in the overlay.
The SQL is Superset's own, as a browser makes it write it by opening both dashboards. It is run as
the charts' role on a connection that stays open; beside it `select 1`, which is what asking costs.
"""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import median, quantiles

import psycopg

from benchmarks.browser import ChartAnswer, Dashboards, logged_in_browser
from benchmarks.consolidation import PER_NEW_ORDER, new_changes
from benchmarks.history import History
from benchmarks.past import Size
from consumers.live.overlay import ChangeSet, Overlay
from consumers.live.service import change_readers
from devtools.test_stack import TestStack, new_stack
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake
from lakehouse.postgres import warehouse_dsn
from stack.superset.files import Files, read_files
from stack.superset.layout import charts_at_first, charts_in, tabs_of
from stack.superset.names import derived_id
from stack.superset.rest import logged_in
from stack.web_uis import WEB_UIS

SMALL = {"lines": 200_000, "changes": 10_000}
LINES = 3_000_000
"""In less than half an hour; ten million, which docs/BENCHMARKS.md has, take longer."""
CHANGES = 100_000
_ROUNDS = 20
_NOTHING = "select 1"
_HOUR = timedelta(hours=1)
# Where live continues behind a warehouse, as its own start-up says it.
_LEVEL = """
insert into live.watermark (entity, topic_id, epoch, partition, last_offset)
select w.entity, w.topic_id, w.epoch, w.partition, w.last_offset
from etl.watermark as w"""

Queries = Mapping[str, Sequence[str]]
"""The SQL of each chart, by the chart's name."""
Seconds = dict[str, list[float]]


def run(lines: int = LINES, changes: int = CHANGES) -> dict[str, object]:
    """Time the charts on so many order lines.

    Returns:
        Of each chart, milliseconds at the median and the 95th percentile, idle and during a load;
        and how many rows the overlay held.
    """
    with new_stack() as stack:
        stack.up("minio", "warehouse", "superset")
        lake = Lake.of(stack.minio, stack.secrets, user="admin")
        size = Size(orders=lines // 2, end=datetime.now(UTC) - _HOUR)
        history = History(lake=lake, size=size)
        history.write()
        stack.run("consolidate", timeout=7200)
        live_rows = _apply(stack, history, changes)
        queries = {"select 1": [_NOTHING], **_queries(stack)}
        rounds = 0

        def enough() -> bool:
            nonlocal rounds
            rounds += 1
            return rounds > _ROUNDS

        idle = _timed(stack, queries, enough)
        history.land(new_changes(history.size, changes))
        load = stack.popen("consolidate", stdout=subprocess.DEVNULL)
        loaded = _timed(stack, queries, lambda: load.poll() is not None)
        if load.wait() != 0:
            message = f"consolidate ended with {load.returncode}"
            raise StopPipelineError(message)
    return {
        "order_lines": lines,
        "changes": changes,
        "live_rows": live_rows,
        "rounds_during_load": len(loaded["select 1"]),
        "charts": [
            {"chart": name, **_metrics("idle", idle[name]), **_metrics("load", loaded[name])}
            for name in queries
        ],
    }


def _apply(stack: TestStack, history: History, changes: int) -> int:
    """Put into the overlay the first of the changes: what was sold until now."""
    sold = (datetime.now(UTC) - history.size.end) // history.size.step
    batches = history.batches(islice(new_changes(history.size, changes), PER_NEW_ORDER * sold))
    readers = change_readers(stack.config.shop)
    dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="live")
    with psycopg.connect(dsn) as connection:
        connection.execute(_LEVEL)
    overlay = Overlay(dsn=dsn, readers=readers)
    outcome = overlay.apply(
        [
            ChangeSet(
                entity=table,
                epoch=0,
                batch=batch,
                rows=readers[table].read(batch.rows),
            )
            for table, batch in batches.items()
        ]
    )
    overlay.close()
    return outcome.rows


def _metrics(when: str, seconds: Sequence[float]) -> dict[str, float]:
    p95 = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
    return {
        f"{when}_p50_ms": round(median(seconds) * 1000, 1),
        f"{when}_p95_ms": round(p95 * 1000, 1),
    }


def _timed(stack: TestStack, queries: Queries, is_over: Callable[[], bool]) -> Seconds:
    """Seconds of each chart, round by round, until it is over; at least one round."""
    dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="reader")
    options = f"-c timezone=UTC -c shop.time_zone={stack.config.shop.time_zone}"
    found: Seconds = {name: [] for name in queries}
    with psycopg.connect(dsn, autocommit=True, options=options) as connection:
        while not is_over() or not found["select 1"]:
            for name, statements in queries.items():
                began = time.perf_counter()
                for statement in statements:
                    connection.execute(statement.encode()).fetchall()
                found[name].append(time.perf_counter() - began)
    return found


def _queries(stack: TestStack) -> dict[str, list[str]]:
    files = read_files()
    who = WEB_UIS["superset"](stack.config, stack.secrets)
    with logged_in(who.url, who.user, who.password) as superset:
        made = {derived_id("charts", name): name for name in files["charts"]}
        names = {one["id"]: made[str(one["uuid"])] for one in superset.list("charts")}
    with logged_in_browser(who) as browser:
        answers = _look(browser, files)
    return {names[number]: answer.queries for number, answer in sorted(answers.items())}


def _look(browser: Dashboards, files: Files) -> dict[int, ChartAnswer]:
    answers: dict[int, ChartAnswer] = {}
    for content in files["dashboards"].values():
        layout = content["layout"]
        seen = set(charts_at_first(layout))
        answers |= browser.open(content["slug"], charts=len(seen))
        for tab in tabs_of(layout)[1:]:
            # A chart that an earlier tab has shown is not asked for again.
            new = set(charts_in(tab["holds"])) - seen
            answers |= browser.open_tab(tab["tab"], charts=len(new))
            seen |= new
    return answers
