"""What was measured of a clip beside its scores, in words: only what the row has."""

from __future__ import annotations

import math
from typing import Any

from pipeline.languages import primary_subtag
from pipeline.records import Row
from pipeline.report.text import percent

# name and meaning, in the order in which they are shown; keys are also what the page's rows refer to
MEASURES = {
    "silence": ("silence", "around the speech: much of it is heard as a pause"),
    "speech": ("speech", "share of the clip in which somebody speaks"),
    "pace": ("pace", "length over what the reference's pace would give: 1 is as fast, more is slower"),
    "echo": ("echo", "error rate against the reference's own text: near 0, the reference was read aloud"),
    "drift": ("drift", "lowest similarity of any stretch: far under the whole, the voice wanders"),
    "clipping": ("clipping", "samples at full scale: heard as crackling"),
    "language": ("language heard", "by the transcriber, left to itself"),
    "dnsmos": ("DNSMOS", "a model's opinion of noise and distortion, 1 to 5: not of the voice"),
}


def measured(row: Row) -> list[list[str]]:
    """Pairs of a key of `MEASURES` and a value in words."""
    found = {
        "silence": _silence(row),
        "speech": _percent(row, "speech_ratio", 0),
        "pace": _pace(row),
        "echo": _percent(row, "prompt_echo_wer", 0),
        "drift": _drift(row),
        "clipping": "none" if row.get("clipped_fraction") == 0 else _percent(row, "clipped_fraction", 2),
        "language": _language(row),
        "dnsmos": _shown(row, "dnsmos_ovrl", "{:.1f}"),
    }
    return [[key, found[key]] for key in MEASURES if found[key]]


def _value(row: Row, name: str) -> Any:
    value = row.get(name)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(row: Row, name: str, form: str) -> str:
    value = _value(row, name)
    return "" if value is None else form.format(value)


def _percent(row: Row, name: str, digits: int) -> str:
    value = _value(row, name)
    return "" if value is None else percent(value, digits)


def _silence(row: Row) -> str:
    sides = (("leading_silence_s", "{:.2f} s before"), ("trailing_silence_s", "{:.2f} s after"))
    return ", ".join(text for name, form in sides if (text := _shown(row, name, form)))


def _pace(row: Row) -> str:
    parts = (
        _shown(row, "length_ratio", "{:.2f} times"),
        _shown(row, "chars_per_s", "{:.1f} characters a second"),
    )
    return ", ".join(filter(None, parts))


def _drift(row: Row) -> str:
    lowest, whole = _shown(row, "similarity_window_min", "{:.2f}"), _shown(row, "similarity", "{:.2f}")
    return f"{lowest} at the lowest, {whole} of the whole" if lowest and whole else lowest


def _language(row: Row) -> str:
    heard: str | None = row.get("language_heard")
    if not heard:
        return ""
    sure = _percent(row, "language_probability", 0)
    parts = [f"{heard}, {sure} sure" if sure else heard]
    asked = row["language"] or ""
    if asked and primary_subtag(heard) != primary_subtag(asked):
        parts.append(f"asked for {asked}")
    return "; ".join(parts)
