"""The held-out test set: sentences of our own, said in the voices of speakers that no training has heard.

`manifests/held_out.csv` is a manifest like any other: 200 rows, eight references. The speakers are chosen
by what they were drawn with, before anything is heard: far apart in pitch and formants, so that a voice
that is not followed is noticed.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.audio import Waveform
from pipeline.training.corpus import CorpusPlan
from pipeline.training.teacher import F0_RATIO, FORMANT_PERCENT, Speaker, draw_speaker, speak

NUM_SPEAKERS = 8
# one for each speaker, none in the corpus; three to four seconds
REFERENCE_TEXTS = (
    "The ferry leaves the harbor at dawn, and comes back after dark.",
    "We planted beans and lettuce along the southern wall.",
    "Nobody had wound the clock in the hall since the winter.",
    "Bring a warm coat, the evenings up there are cold.",
    "My neighbor keeps two goats and a very patient dog.",
    "The bridge was closed, so we walked around by the mill.",
    "She folded the map and put it back in the drawer.",
    "Rain was drumming on the roof of the little station.",
)
COLUMNS = ("id", "ref", "ref_text", "text", "language", "speaker")


@dataclass(frozen=True, slots=True)
class HeldOutRow:
    """One sentence, and who is to say it."""

    utterance_id: str
    speaker: Speaker
    reference_text: str
    text: str


def choose_speakers(plan: CorpusPlan, count: int = NUM_SPEAKERS) -> list[Speaker]:
    """`count` of the plan's held-out speakers: the first, then each time the one furthest from all chosen."""
    left = [draw_speaker(plan.speakers + i, plan.seed) for i in range(plan.held_out_speakers)]
    chosen = [left.pop(0)]
    while len(chosen) < count:
        furthest = max(left, key=lambda speaker: min(_distance(speaker, other) for other in chosen))
        left.remove(furthest)
        chosen.append(furthest)
    return chosen


def held_out_rows(sentences: Sequence[str], speakers: Sequence[Speaker]) -> list[HeldOutRow]:
    """The speakers take turns."""
    rows = []
    for i, text in enumerate(sentences):
        turn = i % len(speakers)
        rows.append(HeldOutRow(f"held-out-{i + 1:03d}", speakers[turn], REFERENCE_TEXTS[turn], text))
    return rows


def reference_of(row: HeldOutRow) -> Waveform:
    """The reference, said by the teacher. Raises ConfigError where flite is missing."""
    return speak(row.speaker, row.reference_text).waveform


def manifest_csv(rows: Sequence[HeldOutRow], folder: str) -> bytes:
    """The manifest, with references as `<folder>/<speaker>.flac`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        name = row.speaker.speaker_id
        writer.writerow([row.utterance_id, f"{folder}/{name}.flac", row.reference_text, row.text, "en", name])
    return text.getvalue().encode()


def _distance(a: Speaker, b: Speaker) -> float:
    """1 is the whole range of pitch or formants that a voice is warped by, or another recorded person."""
    pitch = math.log(a.f0_mean_hz / b.f0_mean_hz) / math.log(F0_RATIO[1] / F0_RATIO[0])
    widest = max(math.log(high / low) for low, high in FORMANT_PERCENT.values())
    formants = math.log(a.formant_ratio / b.formant_ratio) / widest
    return math.hypot(pitch, formants, float(a.base_voice != b.base_voice))
