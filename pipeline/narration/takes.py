"""Which take of which round is heard for a segment, and why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.narration.rounds import Content, ManifestRow, Narration, Round, content_of, read_rounds
from pipeline.narration.script import Segment
from pipeline.records import Row
from pipeline.results import iter_results

_COLUMNS = [
    *("utterance_id", "status", "num_samples", "sample_rate", "leading_silence_s", "trailing_silence_s"),
    *("codes_sha256", "seed", "take", "wer", "cer", "similarity", "gate", "gate_reasons", "error_code"),
    *("error_message", "model", "transcriber", "length_ratio"),
]


@dataclass(frozen=True, slots=True)
class Take:
    """A result of a round; `values` are its columns, without sound."""

    round: int
    values: Row

    @property
    def id(self) -> str:
        return str(self.values["utterance_id"])

    @property
    def is_usable(self) -> bool:
        return self.values["status"] == "ok" and bool(self.values["num_samples"])


@dataclass(frozen=True, slots=True)
class Heard:
    """A segment with the take that is heard for it, or why there is none."""

    segment: Segment
    take: Take | None
    why: str | None = None


def takes_of(narration: Narration, rounds: Iterable[Round]) -> list[tuple[ManifestRow, Take]]:
    """All that the rounds' runs have committed, each with the row it was asked for by."""
    found = []
    for each in rounds:
        asked = {row["id"]: row for row in each.rows}
        for table in iter_results(narration.run_uri(each.number), _COLUMNS):
            for values in table.to_pylist():
                if values["utterance_id"] in asked:
                    found.append((asked[values["utterance_id"]], Take(each.number, values)))
    return found


def choose(
    segments: Sequence[Segment],
    rows: Sequence[ManifestRow],
    takes: Iterable[tuple[ManifestRow, Take]],
) -> list[Heard]:
    """For each segment the latest usable take of what it says: its own, or that of another id that says the
    same (ids move when a text is mended)."""
    by_content: dict[Content, list[Take]] = {}
    for row, take in takes:
        by_content.setdefault(content_of(row), []).append(take)
    heard = []
    for segment, row in zip(segments, rows, strict=True):
        of_it = by_content.get(content_of(row), [])
        best = max(of_it, key=lambda take: (take.is_usable, take.id == segment.id, take.round), default=None)
        usable = best if best is not None and best.is_usable else None
        heard.append(Heard(segment, usable, None if usable else _why(best)))
    return heard


def _why(take: Take | None) -> str:
    if take is None:
        return "not spoken yet"
    values = take.values
    if values["status"] == "rejected":
        return f"rejected: {'; '.join(values['gate_reasons'] or ['by its gates'])}"
    if values["status"] == "ok":
        return "failed: its sound is empty"
    return f"failed: {values['error_code']}: {values['error_message']}"


def heard_of(narration: Narration) -> list[Heard]:
    """Raises StorageError for a round whose run was never begun."""
    rounds = read_rounds(narration.store)
    return choose(narration.script.segments, narration.rows, takes_of(narration, rounds))


def keep_sounds(narration: Narration, heard: Iterable[Heard], folder: Path) -> None:
    """The chosen takes' files, each under its `sound_key`: runs hold them in an order of their own."""
    wanted: dict[int, dict[str, Take]] = {}
    for each in heard:
        if each.take is not None:
            wanted.setdefault(each.take.round, {})[each.take.id] = each.take
    for number, takes in wanted.items():
        for name, sound in _sounds(narration.run_uri(number)):
            if name in takes:
                (folder / sound_key(takes[name])).write_bytes(sound)


def sound_key(take: Take) -> str:
    return f"{take.round}-{take.id}.flac"


def _sounds(uri: str) -> Iterator[tuple[str, bytes]]:
    for table in iter_results(uri, ["utterance_id", "audio"]):
        for row in table.to_pylist():
            if row["audio"] is not None and row["audio"]["bytes"] is not None:
                yield row["utterance_id"], row["audio"]["bytes"]


def silences(values: Mapping[str, float | None]) -> tuple[float, float]:
    """Seconds before and behind the speech; 0 where they were not measured."""
    return values["leading_silence_s"] or 0.0, values["trailing_silence_s"] or 0.0
