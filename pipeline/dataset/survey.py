"""What a data set has: counts, hours and distributions of what is kept, and reasons for what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.dataset.selection import LIGHT, Selection
from pipeline.errors import some_of
from pipeline.metrics.normalizers import normalizer_for
from pipeline.records import Row
from pipeline.results import iter_results
from pipeline.views import many

QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass
class Share:
    """A part of the data set: one split, language or style."""

    rows: int = 0
    seconds: float = 0.0
    speakers: set[str] = field(default_factory=set)

    def add(self, row: Row) -> None:
        self.rows += 1
        self.seconds += row["duration_s"]
        self.speakers.add(row["speaker"])


@dataclass
class Survey:
    """Sums over a run's rows. `values` are of kept rows: seconds, error rates (fractions), similarities."""

    whole: Share = field(default_factory=Share)
    splits: dict[str, Share] = field(default_factory=dict)
    languages: dict[str, Share] = field(default_factory=dict)
    styles: dict[str, Share] = field(default_factory=dict)
    speaker_s: dict[str, float] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)  # rows of each speaker, kept or not
    rows: int = 0

    def add(self, row: Row, selection: Selection) -> None:
        self.rows += 1
        self.asked[row["speaker"]] += 1
        if (reason := selection.left_out(row)) is not None:
            self.left_out[reason] += 1
            return
        speaker, language = row["speaker"], row["language"]
        self.whole.add(row)
        self.splits.setdefault(selection.split_of[speaker], Share()).add(row)
        self.languages.setdefault(language, Share()).add(row)
        self.styles.setdefault(selection.style(row), Share()).add(row)
        self.speaker_s[speaker] = self.speaker_s.get(speaker, 0.0) + row["duration_s"]
        # where characters are the words, a sentence is one word and its WER means nothing
        rate = "cer" if normalizer_for(language).unit == "char" else "wer"
        for name in ("duration_s", rate, "similarity"):
            if row[name] is not None:
                self.values.setdefault(name, []).append(row[name])


def survey_run(run_uri: str, selection: Selection) -> Survey:
    """Looks at every committed row, without its audio."""
    return survey_rows(
        (row for table in iter_results(run_uri, LIGHT) for row in table.to_pylist()), selection
    )


def survey_rows(rows: Iterable[Row], selection: Selection) -> Survey:
    survey = Survey()
    for row in rows:
        survey.add(row, selection)
    return survey


def empty_splits(survey: Survey, split_of: Mapping[str, str]) -> list[str]:
    """A line for each split without a row: which voices it has, and what became of their rows."""
    voices: dict[str, list[str]] = {}
    for speaker, split in split_of.items():
        if split not in survey.splits:
            voices.setdefault(split, []).append(speaker)
    told = []
    for split, speakers in voices.items():
        asked = sum(survey.asked[speaker] for speaker in speakers)
        names = some_of(speakers)
        why = (
            f"of its voices ({names}) none of {many(asked, 'row')} was accepted"
            if asked
            else f"no row was asked of its voices ({names}); want more hours"
        )
        told.append(f"split {split} has no rows: {why}")
    return told


def quantiles(values: Sequence[float]) -> list[float]:
    """Those of QUANTILES, interpolated linearly."""
    return [float(value) for value in np.quantile(np.asarray(values, dtype=np.float64), QUANTILES)]


def sorted_shares(shares: Mapping[str, Share]) -> list[tuple[str, Share]]:
    """The largest first."""
    return sorted(shares.items(), key=lambda item: (-item[1].seconds, item[0]))
