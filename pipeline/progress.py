"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

log = logging.getLogger(__name__)
Board = Mapping[str, Mapping[str, float]]
_LIVE_EVERY_S = 0.5
_PLAIN_EVERY_S = 10.0
_TITLES = {
    "encode_prompt": "encode voices",
    "pack_sample": "pack samples",
    "generate_codes": "generate",
    "load_utterance": "load audio",
    "decode_codes": "decode",
    "transcribe": "transcribe",
    "embed_speaker": "compare voices",
    "rate_quality": "rate quality",
    "commit": "commit",
}


class Progress:
    """`with Progress(console, read_board, {stage: total rows}):` shows the stages until the block ends."""

    def __init__(self, console: Console, read: Callable[[], Board], totals: Mapping[str, int]) -> None:
        self._console, self._read, self._totals = console, read, totals
        self._paces = {stage: Pace() for stage in totals}
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _show(self) -> None:
        try:
            self._show_until_stopped()
        except Exception:  # the run itself says what broke; its display only goes dark
            log.debug("the progress display ended", exc_info=True)

    def _show_until_stopped(self) -> None:
        if not self._console.is_terminal:
            ended = False
            while not ended:
                self._say(plain_line(self._view()))
                ended = self._stop.wait(_PLAIN_EVERY_S)
            self._say(plain_line(self._view()))
            return
        with Live(live_table(self._view()), console=self._console, refresh_per_second=4) as live:
            while not self._stop.wait(_LIVE_EVERY_S):
                live.update(live_table(self._view()))
            live.update(live_table(self._view()))

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

    def _view(self) -> list[StageView]:
        board = self._read()
        now = time.monotonic()
        views = []
        failed_before = 0
        for stage, planned in self._totals.items():
            counts = board.get(stage, {})
            rows, failed = int(counts.get("rows", 0)), int(counts.get("failed", 0))
            total = planned - failed_before  # what failed at one stage never comes to the next
            failed_before += failed
            self._paces[stage].note(rows, now)
            views.append(
                StageView(
                    _TITLES.get(stage, stage),
                    rows,
                    total,
                    failed,
                    counts.get("audio_s", 0.0),
                    now - self._started,
                    self._paces[stage].left_s(total, now),
                )
            )
        return views


class Pace:
    """How long a stage still takes, from what it was seen to do.

    Rows come by the shard, and before the first one models are loaded: the pace is that between the
    first shard and the latest, and until the next one comes the time left just runs down.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []  # when, rows: the first and the latest change

    def note(self, rows: int, now: float) -> None:
        if rows > (self._seen[-1][1] if self._seen else 0):
            self._seen = [*self._seen[:1], (now, rows)]

    def left_s(self, total: int, now: float) -> float | None:
        """None until there is a pace."""
        if len(self._seen) < 2:
            return None
        (first_at, first), (latest_at, latest) = self._seen
        needed = (latest_at - first_at) / (latest - first) * (total - latest)
        # a late shard is no reason to promise the end
        return max(needed - (now - latest_at), needed / 2)


@dataclass(frozen=True)
class StageView:
    """One stage's line: rows done of total, failed here, audio seconds made, seconds since the start."""

    title: str
    rows: int
    total: int
    failed: int
    audio_s: float
    elapsed_s: float
    left_s: float | None = None

    @property
    def speed(self) -> str:
        """Audio seconds per second of wall time; only stages that carry audio have one."""
        return f"{self.audio_s / self.elapsed_s:.2f}" if self.audio_s and self.elapsed_s else "-"

    @property
    def left(self) -> str:
        if self.rows >= self.total:
            return "done"
        return "-" if self.left_s is None else duration(self.left_s)


def live_table(views: list[StageView]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage")
    for name in ("rows", "failed", "audio s/s", "left"):
        table.add_column(name, justify="right")
    for view in views:
        failed = f"[red]{view.failed}[/red]" if view.failed else "0"
        style = "dim" if not view.rows else None
        table.add_row(view.title, f"{view.rows}/{view.total}", failed, view.speed, view.left, style=style)
    return table


def plain_line(views: list[StageView]) -> str:
    last = views[-1]
    ahead = {"-": "", "done": ", done"}.get(last.left, f", {last.left} left")
    stages = (
        f"{view.title} {view.rows}/{view.total}" + (f" ({view.failed} failed)" if view.failed else "")
        for view in views
    )
    return f"{'  '.join(stages)}  [{duration(last.elapsed_s)}{ahead}]"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
