"""Display of the flow of changes: redrawn in place on a terminal, plain lines otherwise."""

from datetime import timedelta
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitoring.demonstration import Picture
from monitoring.flow import Flow

_LINE_SECONDS = 5.0


class LiveView:
    """Output of pictures on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._last_line = -_LINE_SECONDS
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, picture: Picture) -> None:
        """Redraw the picture, or print a line if the last one is 5 seconds old."""
        if self._live:
            self._live.update(draw(picture), refresh=True)
        elif picture.seconds - self._last_line >= _LINE_SECONDS:
            self._last_line = picture.seconds
            self._console.print(in_a_line(picture), markup=False, soft_wrap=True)


def draw(picture: Picture) -> RenderableType:
    """Return the picture for a terminal."""
    head = Text.assemble(
        ("The shop, as it reaches the lake", "bold"),
        f"   {_clock(picture.seconds)}   {picture.orders:,} orders   ",
        ("Ctrl-C ends it with a reconciliation", "dim"),
    )
    side_by_side = Columns([_tables(picture.flow), _orders(picture.flow)], padding=(0, 2))
    reconciliation = Panel(
        picture.reconciliation, title="reconciliation", title_align="left", border_style="dim"
    )
    return Group(head, _hops(picture), side_by_side, reconciliation)


def in_a_line(picture: Picture) -> str:
    """Return the hops in one line."""
    hops = " | ".join(
        f"{hop} {speed}" + (f", {behind}" if behind else "")
        for hop, speed, behind in _hop_metrics(picture)
    )
    return f"{_clock(picture.seconds)} {hops}"


def _hop_metrics(picture: Picture) -> list[tuple[str, str, str]]:
    flow = picture.flow
    freshness = flow.freshness_seconds
    bronze = [f"{flow.lag_offsets:,} offsets behind"] if flow.tables else []
    bronze += [f"{freshness:.1f} s old when readable"] if freshness is not None else []
    slot = flow.slot_lag_bytes
    kafka = flow.offsets_per_second
    return [
        ("shop", f"{picture.orders_per_second:,.1f} orders/s, "
                 f"{picture.rows_per_second:,.0f} rows/s", ""),
        ("Kafka", "-" if kafka is None else f"{kafka:,.0f} offsets/s",
         "" if slot is None else f"{decimal(max(slot, 0))} of WAL behind"),
        ("bronze", f"{flow.rows_per_second:,.0f} rows/s", ", ".join(bronze)),
    ]  # fmt: skip


def _hops(picture: Picture) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("hop", "now", "behind"):
        table.add_column(name)
    for hop, speed, behind in _hop_metrics(picture):
        table.add_row(f"[bold]{hop}[/]", speed, behind)
    return table


def _tables(flow: Flow) -> Table:
    table = Table(title="bronze", title_justify="left", header_style="dim", box=None)
    table.add_column("table")
    for name in ("rows", "rows/s", "behind", "age s"):
        table.add_column(name, justify="right", min_width=6)
    for row in flow.tables:
        table.add_row(
            row.table,
            f"{row.rows:,}",
            f"{row.rows_per_second:,.0f}",
            f"{row.lag_offsets:,}",
            f"{row.freshness_seconds:.1f}",
        )
    return table


def _orders(flow: Flow) -> Table:
    table = Table(title="latest orders", title_justify="left", header_style="dim", box=None)
    for name in ("order", "to", "channel", "status"):
        table.add_column(name)
    table.add_column("total", justify="right")
    for order in flow.orders:
        table.add_row(str(order.order_id), order.country, order.channel, order.status, order.total)
    return table


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
