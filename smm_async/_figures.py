"""The figures of a worker, and how they are shown."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final

import anyio
import attrs
from rich.console import Console, ConsoleOptions, RenderResult

from smm_async._cli_output import Column
from smm_async._cli_output import make_table as fit_table
from smm_async.tracking import Claimed, LookedUp, Observation, PanelStats, Paused

__all__ = ["Figures", "PanelFigures", "make_lines", "make_table"]

_WINDOW: Final = 10.0
_COLUMNS: Final = (
    Column("panel"),
    Column("open", is_number=True),
    Column("due", is_number=True, rank=4),
    Column("in flight", is_number=True, rank=5),
    Column("lookups", is_number=True, rank=3),
    Column("lookups/s", is_number=True, rank=2),
    Column("ids per request", is_number=True, rank=6),
    Column("lag", is_number=True, rank=1),
    Column("ended", is_number=True),
    Column("errors", is_long=True),
)


@attrs.define
class PanelFigures:
    """What a worker has done for one panel."""

    began_at: float
    lookups: int = 0
    requests: int = 0
    in_flight: int = 0
    ended: int = 0
    lag: float = 0.0
    """How late the last claim was, in seconds."""
    errors: Counter[str] = attrs.field(factory=Counter[str])
    recent: deque[tuple[float, int]] = attrs.field(factory=deque[tuple[float, int]])
    """When something was looked up in the last seconds, and how much."""

    def rate(self, now: float) -> float:
        """Return the lookups a second of the last seconds."""
        while self.recent and self.recent[0][0] < now - _WINDOW:
            self.recent.popleft()
        return sum(orders for _, orders in self.recent) / max(1.0, min(_WINDOW, now - self.began_at))

    @property
    def ids_per_request(self) -> float:
        """How full requests are."""
        return self.lookups / self.requests if self.requests else 0.0

    @property
    def errors_by_kind(self) -> str:
        """The errors, the most frequent first."""
        return ", ".join(f"{name} {count:,}" for name, count in self.errors.most_common())


class Figures:
    """Counts what a tracker reports."""

    def __init__(self) -> None:
        self.panels: dict[str, PanelFigures] = {}

    def note(self, observation: Observation) -> None:
        """Count one report."""
        panel = self.panels.setdefault(observation.panel, PanelFigures(anyio.current_time()))
        match observation:
            case Claimed():
                panel.in_flight += observation.orders
                panel.lag = observation.lag
            case LookedUp():
                panel.in_flight -= observation.claimed
                panel.lookups += observation.orders
                panel.requests += observation.requests
                panel.ended += observation.ended
                panel.errors.update(observation.errors)
                panel.recent.append((anyio.current_time(), observation.orders))
            case Paused():
                panel.errors["pauses"] += 1
            case _:
                panel.errors["store away"] += 1


@attrs.frozen
class FiguresTable:
    """The figures as a table, with as many columns as there is room for where it is drawn."""

    rows: Sequence[Mapping[str, str | None]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield fit_table(_COLUMNS, self.rows, width=options.max_width)


def make_table(panels: Mapping[str, PanelFigures], stats: Sequence[PanelStats], now: float) -> FiguresTable:
    """Return the figures as a table."""
    return FiguresTable([
        {
            "panel": name,
            **dict(zip(("open", "due"), _counts(known), strict=True)),
            "in flight": f"{figures.in_flight:,}",
            "lookups": f"{figures.lookups:,}",
            "lookups/s": f"{figures.rate(now):,.0f}",
            "ids per request": f"{figures.ids_per_request:.1f}",
            "lag": f"{figures.lag:.1f} s",
            "ended": f"{figures.ended:,}",
            "errors": figures.errors_by_kind or None,
        }
        for name, (figures, known) in _by_name(panels, stats, now).items()
    ])  # fmt: skip


def make_lines(panels: Mapping[str, PanelFigures], stats: Sequence[PanelStats], now: float) -> list[str]:
    """Return the figures as a line for each panel."""
    return [
        f"{name}: {' open, '.join(_counts(known))} due, "
        f"{figures.in_flight:,} in flight, {figures.lookups:,} lookups, {figures.rate(now):,.0f} lookups/s, "
        f"{figures.ids_per_request:.1f} ids per request, lag {figures.lag:.1f} s, {figures.ended:,} ended, "
        f"errors: {figures.errors_by_kind or 'none'}"
        for name, (figures, known) in _by_name(panels, stats, now).items()
    ]


def _by_name(
    panels: Mapping[str, PanelFigures], stats: Sequence[PanelStats], now: float
) -> dict[str, tuple[PanelFigures, PanelStats | None]]:
    known = {row.panel: row for row in stats}
    names = sorted({*panels, *known})
    return {name: (panels.get(name) or PanelFigures(now), known.get(name)) for name in names}


def _counts(known: PanelStats | None) -> tuple[str, str]:
    """Return how many orders are open, and due, as text."""
    return ("?", "?") if known is None else (f"{known.open:,}", f"{known.due:,}")
