"""A run in a few numbers, each with what it was made by, and the notes one must know to read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.engine.embedded import note_of
from pipeline.metrics.aggregate import JsonDict, summarise
from pipeline.metrics.figures import figure
from pipeline.metrics.normalizers import unit_of
from pipeline.progress import duration
from pipeline.records import Row
from pipeline.report import histogram
from pipeline.report.compare import Comparison, Difference
from pipeline.report.rows import is_ok, makes_sound, rate_of, similarity_of
from pipeline.report.sound import Mode, Sounds
from pipeline.report.text import percent
from pipeline.views import many

_DEMO = "demo:"
_TO_GROUND_TRUTH = "Similarity to the ground truth"


@dataclass(frozen=True, slots=True)
class Tile:
    """One number. `made_by` names the models and protocol; `demo` marks the small embedded evaluators."""

    name: str
    value: str
    details: list[str]
    made_by: list[str]
    demo: bool = False
    picture: Markup | None = None
    failures: Sequence[tuple[str, str, int]] = ()  # stage, code, how many


def tiles(rows: Sequence[Row], identity: dict[str, Any]) -> list[Tile]:
    everything = summarise(rows)
    words, chars = everything["wer"]["rows"], everything["cer"]["rows"]
    made_by = [f"model {identity['model']}", f"codec {identity['codec']}"]
    counted = [f"{everything['ok']:,} ok"]
    counted.append(f"{everything['failed']:,} failed" if everything["failed"] else "none failed")
    if everything["rejected"]:
        counted.append(f"{everything['rejected']:,} rejected")
    found = [
        Tile(
            "Rows",
            f"{everything['rows']:,}",
            [", ".join(counted)],
            [],
            failures=failures(rows),
        ),
        _speech(rows, everything, made_by),
    ]
    # a rate of words and one of characters have no mean in common
    both = bool(words and chars)
    if words or not chars:
        found.append(_rate("Word error rate", "WER", "word", rows, everything, both))
    if chars:
        found.append(_rate("Character error rate", "CER", "char", rows, everything, both))
    found.append(_similarity("Speaker similarity", "similarity", "the reference", rows, everything))
    if any(row.get("ground_truth_audio") is not None for row in rows):
        column = "similarity_ground_truth"
        found.append(_similarity(_TO_GROUND_TRUTH, column, "the ground truth", rows, everything))
    return found


def _speech(rows: Sequence[Row], summary: JsonDict, made_by: list[str]) -> Tile:
    lengths = [row["duration_s"] for row in rows if is_ok(row) and row["duration_s"] is not None]
    cut = summary["finish_reasons"].get("length", 0)
    details = [f"{sum(lengths) / 3600:.2f} hours of audio in {many(len(lengths), 'row')}"]
    if cut:
        details.append(f"{many(cut, 'row')} cut at the length limit")
    longest = histogram.round_end(max(lengths, default=1.0))
    return Tile(
        "Speech",
        duration(summary["audio_seconds"]),
        details,
        made_by,
        picture=histogram.picture(lengths, 0.0, longest, 20, "Duration", lambda s: f"{s:.3g} s"),
    )


def _rate(name: str, short: str, unit: str, rows: Sequence[Row], summary: JsonDict, both_units: bool) -> Tile:
    rates = summary["wer" if unit == "word" else "cer"]
    rated = [(row, rate) for row in rows if is_ok(row) and unit_of(row) == unit
             for rate in [rate_of(row)] if rate is not None]  # fmt: skip
    values = [rate for _, rate in rated]
    per = "words" if unit == "word" else "characters"
    details = [f"mean of {many(rates['rows'], 'row')}; {percent(rates['micro'])} over all {per}"]
    if (ends := rates["intervals"]["macro"]) is not None:
        between = f"{percent(ends[0])} to {percent(ends[1])}"
        details.append(f"95\u202f% interval of the mean {between}, {_drawn(rates['voices'])}")
    if values:
        over = percent(rates["share_over_50_percent"])
        details.append(f"95th percentile {percent(rates['p95'])}; {over} of rows over 50\u202f%")
    if both_units:
        languages = ", ".join(sorted({row["language"] or "unknown" for row, _ in rated}))
        details.append(f"of the languages that are judged by {per}: {languages}")
    return Tile(
        name,
        percent(rates["macro"]),
        details + _missing(summary, "wer" if unit == "word" else "cer"),
        _made_by(
            summary | {"normalizers": sorted({row["normalizer"] for row, _ in rated if row["normalizer"]})},
            *(("heard by", "transcribers"), ("normaliser", "normalizers"), ("protocol", "protocols")),
        ),
        any(name.startswith(_DEMO) for name in summary["transcribers"]),
        histogram.picture(values, 0.0, 1.0, 20, short, lambda x: percent(x, 0)),
    )


def _similarity(name: str, column: str, to: str, rows: Sequence[Row], summary: JsonDict) -> Tile:
    mean, ends = summary[column]["mean"], summary[column]["interval"]
    found = [similarity_of(row, column) for row in rows if is_ok(row)]
    values = [value for value in found if value is not None]
    details = [f"mean cosine to {to}, {many(len(values), 'row')}"]
    if ends is not None:
        between = f"{ends[0]:z.3f} to {ends[1]:z.3f}"
        details.append(f"95\u202f% interval of the mean {between}, {_drawn(summary[column]['voices'])}")
    return Tile(
        name,
        "\u2013" if mean is None else f"{mean:.3f}",
        [*details, *_missing(summary, column)],
        _made_by(summary, ("compared by", "speaker_encoders"), ("protocol", "protocols")),
        any(name.startswith(_DEMO) for name in summary["speaker_encoders"]),
        histogram.picture(values, 0.0, 1.0, 20, "Similarity", lambda x: f"{x:.2f}"),
    )


def _drawn(voices: int) -> str:
    return f"{voices:,} voices drawn whole"


def _missing(summary: JsonDict, metric: str) -> list[str]:
    reasons = summary["unscored_reasons"][metric]
    return [f"{count:,} without: {reason}" for reason, count in reasons.items()]


def _made_by(summary: JsonDict, *named: tuple[str, str]) -> list[str]:
    return [f"{said} {' and '.join(summary[key])}" for said, key in named if summary[key]]


def failures(rows: Iterable[Row]) -> list[tuple[str, str, int]]:
    """(stage, code, how many), the commonest first."""
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        if not makes_sound(row):
            key = row["failed_stage"] or "unknown", row["error_code"] or "unknown"
            found[key] = found.get(key, 0) + 1
    return [
        (stage, code, n) for (stage, code), n in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    ]


def difference_tiles(comparison: Comparison, made_by: Sequence[Tile]) -> list[Tile]:
    """`made_by` are this run's tiles: a difference is made by what its numbers are made by."""
    origin = {tile.name: tile for tile in made_by}
    found = []
    for name, difference, in_points in (
        ("Word error rate", comparison.words, True),
        ("Character error rate", comparison.chars, True),
        ("Speaker similarity", comparison.similarity, False),
        (_TO_GROUND_TRUTH, comparison.similarity_ground_truth, False),
    ):
        if difference is not None and name in origin:
            made = "transcriber:" if in_points else "speaker encoder:"
            demo = any(line.startswith(made) and _DEMO in line for line in comparison.unlike)
            found.append(_difference_tile(name, difference, in_points, origin[name], demo))
    return found


def _difference_tile(
    name: str, difference: Difference, in_points: bool, origin: Tile, demo_there: bool
) -> Tile:
    """A rate's difference is in points and good where it fell, a similarity's good where it rose."""

    def number(value: float, form: str) -> str:
        return form.format(value).replace("-", "\u2212")

    def shown(value: float) -> str:
        return number(value, "{:+z.1f} points" if in_points else "{:+z.3f}")

    better, worse = (difference.fell, difference.rose) if in_points else (difference.rose, difference.fell)
    same = difference.rows - better - worse
    details = [f"{better:,} rows better, {worse:,} worse, {same:,} the same"]
    if difference.low is None or difference.high is None or difference.resolvable is None:
        details.append("one voice only: no interval can be given")
    elif better == worse == 0:
        details.append("identical in every row")
    else:
        between = f"{shown(difference.low)} to {shown(difference.high)}"
        details.append(f"95\u202f% interval {between}, {_drawn(difference.voices)}")
        if difference.lower is not None:
            details.append(f"lower here in {percent(difference.lower, 0)} of the draws")
        seen = "" if difference.low > 0 or difference.high < 0 else "no difference can be seen; "
        if difference.resolvable > 1e-9:  # else every voice has changed by the same
            limit = f"{figure(difference.resolvable)}{' points' if in_points else ''}"
            details.append(f"{seen}these voices cannot resolve less than {limit}")
    most = histogram.round_end(max(abs(value) for value in difference.values) or 0.1)
    end = min(most, 100.0 if in_points else 1.0)

    def axis(value: float) -> str:
        return "0" if abs(value) < 1e-9 else number(value, "{:+.3g}" if in_points else "{:+.2g}")

    return Tile(
        f"{name}, change",
        shown(difference.mean),
        details,
        origin.made_by,
        origin.demo or demo_there,
        histogram.picture(difference.values, -end, end, 21, f"Change of {name.lower()}", axis),
    )


def notes(
    rows: Sequence[Row], identity: dict[str, Any], whole: bool, planned: int, tiles: Sequence[Tile]
) -> list[str]:
    found = []
    if (note := note_of(identity["model"])) is not None:
        found.append(f"{note[0].upper()}{note[1:]}.")
    if not whole:
        found.append(
            f"This run is not whole: {len(rows):,} of {planned:,} planned rows are committed, "
            "and every number here is of those alone."
        )
    if any(tile.demo for tile in tiles):
        found.append(
            "Numbers marked demo come from small embedded evaluators (demo:*). They are for trying things "
            "out and cannot be compared with published figures."
        )
    return found


def sound_note(sounds: Sounds, mode: Mode, with_audio: int) -> str:
    if mode == "none":
        return "This page was made without sound (--audio none)."
    if not with_audio:
        return "No row has audio."
    parts = []
    if mode == "embed":
        size = sounds.embedded_bytes / 2**20
        if sounds.embedded_results == with_audio:
            parts.append(f"The sound of every row is in this page ({size:.1f} MiB).")
        else:
            parts.append(
                f"Sound is embedded for {sounds.embedded_results:,} of {with_audio:,} rows with audio, the "
                f"worst first ({size:.1f} MiB; --max-embedded-mb allows more)."
            )
    if sounds.linked:
        parts.append("Other players open files beside this page; they fall silent where it is moved alone.")
    if sounds.unreadable_references:
        parts.append(f"{sounds.unreadable_references:,} references could not be read.")
    if mode == "link" and not sounds.linked:
        parts.append(
            "No sound: there are no audio files to link from here (output.audio_files writes them); "
            "--audio embed puts it into the page."
        )
    return " ".join(parts)
