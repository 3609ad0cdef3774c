"""What became of a narration: its chapters, every segment with its times and scores, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.engine.frame_budget import estimate_duration_s
from pipeline.errors import printable
from pipeline.narration.placing import Placed, chapter_bounds
from pipeline.narration.rounds import Narration
from pipeline.narration.script import Script
from pipeline.narration.takes import Heard
from pipeline.programme.heard import REMEDY, badly_heard, print_notes
from pipeline.progress import duration
from pipeline.storage import Store
from pipeline.views import many, say

Report = dict[str, Any]
_SHOWN = 20
_SCORES = ("seed", "take", "wer", "cer", "similarity", "length_ratio", "gate", "gate_reasons")


def report_of(
    narration: Narration,
    heard: Sequence[Heard],
    made_of: str,
    *,
    placed: Sequence[Placed] = (),
    sample_rate: int = 0,
    loudness: dict[str, float | None] | None = None,
) -> Report:
    """JSON-able. Times are seconds of the programme, null where nothing was put together."""
    script = narration.script
    times = {
        each.heard.segment.id: (each.start / sample_rate, (each.start + each.length) / sample_rate)
        for each in placed
    }
    bounds = chapter_bounds(placed)
    return {
        "title": script.title,
        "author": script.author,
        "language": script.language,
        "made_of": made_of,
        "made_by": _named(heard, "model"),
        "heard_by": _named(heard, "transcriber"),
        "length_s": placed[-1].behind / sample_rate if placed else None,
        "loudness": loudness,
        "chapters": [
            {
                "number": number,
                "title": title,
                "start_s": bounds[number][0] / sample_rate if number in bounds else None,
                "end_s": bounds[number][1] / sample_rate if number in bounds else None,
                "segments": sum(each.segment.chapter == number for each in heard),
                "missing": sum(each.segment.chapter == number and each.take is None for each in heard),
            }
            for number, title in enumerate(script.chapters, start=1)
        ],
        "missing": [
            {"id": each.segment.id, "written": each.segment.written, "why": each.why}
            for each in heard
            if each.take is None
        ],
        "segments": [_segment(each, times.get(each.segment.id)) for each in heard],
        "files": [],
    }


def settled_report(store: Store, key: str, made_of: str) -> Report | None:
    """The report of the very same, if all its files are there."""
    if not store.exists(key):
        return None
    report: Report = json.loads(store.get(key))
    whole = report["made_of"] == made_of and all(map(store.exists, report["files"]))
    return report if whole else None


def print_script(console: Console, script: Script) -> None:
    """A line per chapter, and every segment that is spoken otherwise than it is written."""
    table = Table(box=None, pad_edge=False)
    for name in ("chapter", "segments", "about"):
        table.add_column(name, justify="left" if name == "chapter" else "right")
    total_s = 0.0
    for number, title in enumerate(script.chapters, start=1):
        of = [each for each in script.segments if each.chapter == number]
        seconds = sum(estimate_duration_s(each.spoken, script.language) + each.pause_s for each in of)
        table.add_row(Text(printable(f"{number}  {title}")), str(len(of)), duration(seconds))
        total_s += seconds
    console.print(table)
    by = f" by {script.author}" if script.author else ""
    say(console, f"{script.title}{by}: about {duration(total_s)}, language {script.language}")
    for each in script.segments:
        if each.spoken != each.written:
            say(console, f"{each.id}: {each.written}")
            say(console, f"{'':{len(each.id)}}  {each.spoken}")


def print_narration(console: Console, report: Report, out: str) -> None:
    """A line per chapter, the missing segments, and where everything is."""
    table = Table(box=None, pad_edge=False)
    for name in ("chapter", "segments", "missing", "begins"):
        table.add_column(name, justify="left" if name == "chapter" else "right")
    for chapter in report["chapters"]:
        title = Text(printable(f"{chapter['number']}  {chapter['title']}"))
        counts = str(chapter["segments"]), str(chapter["missing"] or "-")
        table.add_row(title, *counts, _clock(chapter["start_s"]))
    console.print(table)
    for each in report["missing"][:_SHOWN]:
        say(console, f"{each['id']}: {each['why']}: {each['written'][:80]}")
    if len(report["missing"]) > _SHOWN:
        say(console, f"... and {len(report['missing']) - _SHOWN} more: report.json has them all")
    _print_scores(console, report)
    if report["files"]:
        loudness = report["loudness"]
        level = f"{loudness['integrated_lufs']:.1f} LUFS, peak {loudness['true_peak_dbtp']} dBTP"
        say(console, f"length    {_clock(report['length_s'])}, {level}")
        for key in report["files"]:
            if not key.startswith("chapters/"):
                say(console, f"file      {out}/{key}")
    else:
        say(console, "nothing was put together: segments are missing")
    if report["missing"]:
        say(
            console,
            f"segments missing: {len(report['missing'])}; speak them again: voicemill redo {out} --missing",
        )


def _named(heard: Sequence[Heard], column: str) -> list[str]:
    return sorted({each.take.values[column] for each in heard if each.take and each.take.values[column]})


def _print_scores(console: Console, report: Report) -> None:
    """How well it was heard, since a segment without gates passes with half of its words missing."""
    rates = {each["id"]: each["wer"] for each in report["segments"] if each["wer"] is not None}
    if rates:
        mean = sum(rates.values()) / len(rates)
        by = ", ".join(report["heard_by"])
        say(console, f"WER       {mean:.2f} mean of {many(len(rates), 'segment')} (heard by {by})")
        bad, worst = badly_heard(rates)
        if bad:
            told = f"{many(bad, 'segment')} with more than half of the words wrong, such as {worst}"
            say(console, f"{told}: {REMEDY}")
    print_notes(console, report["made_by"])


def _segment(each: Heard, times: tuple[float, float] | None) -> dict[str, Any]:
    segment, take = each.segment, each.take
    start_s, end_s = times or (None, None)
    return {
        "id": segment.id,
        "chapter": segment.chapter,
        "start_s": start_s,
        "end_s": end_s,
        "written": segment.written,
        "spoken": segment.spoken,
        "voice": segment.voice,
        "round": take.round if take else None,
        "why": each.why,
        **{name: take.values[name] if take else None for name in _SCORES},
    }


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{seconds % 60:06.3f}"
