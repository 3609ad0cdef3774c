"""Scores by unit, language, category, voice: what `aggregate.py` collects by rows and sums up at the end."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from pipeline.engine.dialogue import spoken_text
from pipeline.metrics.intervals import Ints, voice_block
from pipeline.metrics.normalizers import Unit, normalizer_for
from pipeline.metrics.rate_columns import (
    RateColumns,
    RateTable,
    describe,
    mean_of,
    means_by,
)
from pipeline.uris import shown

JsonDict = dict[str, Any]
Row = Mapping[str, Any]
Key = Literal["voices", "languages", "categories"]
Groups = tuple[int, int, int]  # a row's voice, language and category, as numbers
State = Literal["ok", "rejected", "failed"]
WORST_VOICES = 10
_UNITS: dict[Unit, tuple[str, str]] = {"word": ("wer", "words"), "char": ("cer", "chars")}
SIMILARITIES = ("similarity", "similarity_ground_truth")
_NO_RATE = (0, None, None)  # of a group, as `means_by` gives it
CATEGORIES, OTHERS = 100, "(others)"  # a category is whatever a manifest says, ids if it likes


class _Names:
    """Names as small numbers, in the order in which they came; beyond `most`, all others are OTHERS."""

    def __init__(self, most: int | None = None) -> None:
        self._number: dict[str, int] = {}
        self._most = most
        self.names: list[str] = []

    def number(self, name: str) -> int:
        if name not in self._number and self._most is not None and len(self.names) >= self._most:
            name = OTHERS
        if name not in self._number:
            self._number[name] = len(self.names)
            self.names.append(name)
        return self._number[name]

    def ranks(self) -> Ints:
        """The place of each number's name among the sorted names: what is drawn must not go by arrival."""
        ranks = np.empty(len(self.names), dtype=np.int64)
        ranks[sorted(range(len(self.names)), key=self.names.__getitem__)] = np.arange(len(self.names))
        return ranks


class _Similarities:
    """Cosines as float32, with their voice, language, category and whether the row was accepted."""

    def __init__(self) -> None:
        self._values = array("f")
        self._groups = array("i"), array("i"), array("i")
        self._accepted = array("b")

    def add(self, value: float, groups: Groups, accepted: bool) -> None:
        self._values.append(value)
        for column, number in zip(self._groups, groups, strict=True):
            column.append(number)
        self._accepted.append(accepted)

    def table(self, *, accepted_only: bool) -> RateTable:
        """The cosines as `rates`."""
        kept = np.frombuffer(self._accepted, np.int8) >= accepted_only
        values, *groups = (
            np.frombuffer(column, np.dtype(column.typecode))[kept] for column in (self._values, *self._groups)
        )
        nothing = np.zeros(len(values), dtype=np.int64)
        of = (group.astype(np.int64) for group in groups)
        return RateTable(nothing, nothing, values.astype(np.float64), *of)


class Breakdown:
    """Collects rows with `add`; `summary` is the part of summary.json that is about scores."""

    def __init__(self) -> None:
        self._primary: dict[Unit, RateColumns] = {"word": RateColumns(), "char": RateColumns()}
        self._chars_of_words = RateColumns()
        self._similarities = {name: _Similarities() for name in SIMILARITIES}
        self._voices, self._languages, self._categories = _Names(), _Names(), _Names(CATEGORIES)
        self._speakers: list[str] = []  # of the voice of that number, "" where no row names one
        self._unscored_ok = dict.fromkeys(SIMILARITIES, 0)

    def add(self, row: Row, unit: Unit, state: State) -> None:
        groups = (
            self._voice(row),
            self._languages.number(row.get("language") or "und"),
            self._categories.number(row.get("category") or ""),
        )
        self._add_rate(row, unit, state, groups)
        if unit == "word" and state == "ok" and row.get("cer") is not None:
            self._chars_of_words.add(*_counts(row, "char"), *groups, accepted=True)
        for name in SIMILARITIES:
            if is_compared(row, name):
                self._add_similarity(row, name, state, groups)

    def _add_similarity(self, row: Row, name: str, state: State, groups: Groups) -> None:
        similarity = row.get(name)
        if state == "failed" or (state == "rejected" and similarity is None):
            similarity = 0.0
        if similarity is not None:
            self._similarities[name].add(similarity, groups, state == "ok")
        else:
            self._unscored_ok[name] += 1

    def _voice(self, row: Row) -> int:
        number = self._voices.number(voice_block(row))
        if number == len(self._speakers):
            self._speakers.append("")
        # of several names the first in the alphabet, in whatever order the rows come
        named = filter(None, (self._speakers[number], row.get("speaker")))
        self._speakers[number] = min(named, default="")
        return number

    def _add_rate(self, row: Row, unit: Unit, state: State, groups: Groups) -> None:
        columns = self._primary[unit]
        if state != "failed" and row.get(_UNITS[unit][0]) is not None:
            columns.add(*_counts(row, unit), *groups, accepted=state == "ok")
        elif state == "ok":
            columns.add_unscored(*groups)
        else:
            asked = _length(row, unit)
            columns.add(asked, asked, *groups, accepted=False)

    def summary(self, resamples: int) -> JsonDict:
        """Rates, similarities, by_language, by_category and worst_voices; see `aggregate.summarise`."""
        ranks = self._voices.ranks()
        rates = {
            _UNITS[unit][0]: _rates(columns, _UNITS[unit][1], ranks, resamples)
            for unit, columns in self._primary.items()
        }
        return {
            **rates,
            "cer_of_word_rows": _described(self._chars_of_words.accepted(), "chars", ranks, resamples),
            **{name: self._similarity(name, ranks, resamples) for name in SIMILARITIES},
            "by_language": self._by_language(),
            "by_category": self._by_category(),
            "worst_voices": self._worst_voices(),
        }

    def _similarity(self, name: str, ranks: Ints, resamples: int) -> JsonDict:
        plain = self._similarities[name].table(accepted_only=True)
        every = self._similarities[name].table(accepted_only=False)
        if not len(plain) and self._unscored_ok[name]:
            every = plain  # nobody compared voices: failures alone would make a mean of 0
        found = mean_of(plain.rates, ranks[plain.voices], resamples=resamples)
        both = found
        if len(every) != len(plain):
            both = mean_of(every.rates, ranks[every.voices], resamples=resamples)
        return found | {"with_failures": dict(both)}

    def _by_language(self) -> JsonDict:
        groups = self._groups("languages")
        return (
            {
                self._languages.names[number]: entry | {"unit": unit}
                for (unit, number), entry in sorted(
                    groups.items(), key=lambda item: self._languages.names[item[0][1]]
                )
            }
            if len(groups) > 1
            else {}
        )

    def _by_category(self) -> JsonDict:
        """By unit, since a category may have rows of both; rows without one are under "", those of categories
        that came after the first CATEGORIES under OTHERS."""
        names = self._categories.names
        if len(names) < 2:
            return {}
        groups = self._groups("categories").items()
        found = {
            unit: {names[number]: entry for (of, number), entry in groups if of == unit}
            for unit in self._primary
        }
        return {unit: dict(sorted(entries.items())) for unit, entries in found.items() if entries}

    def _worst_voices(self) -> JsonDict:
        """By unit, those of the highest rate, failures counted; at most WORST_VOICES."""
        if len(self._voices.names) < 2:
            return {}
        groups = self._groups("voices")
        worst: JsonDict = {}
        for unit in self._primary:
            entries = [
                {"voice": shown(self._voices.names[number]), "name": self._name(number), **entry}
                for (of, number), entry in groups.items()
                if of == unit and entry["macro_with_failures"] is not None
            ]
            entries.sort(key=lambda entry: (-entry["macro_with_failures"], entry["voice"]))
            worst[unit] = entries[:WORST_VOICES]
        return {unit: entries for unit, entries in worst.items() if entries}

    def _name(self, number: int) -> str:
        voice = self._voices.names[number]
        return self._speakers[number] or voice.rpartition("/")[2].rpartition(".")[0]

    def _groups(self, key: Key) -> dict[tuple[Unit, int], JsonDict]:
        """Rows, rates and mean similarity of every language, category or voice, unit by unit."""
        alike = self._similarities["similarity"].table(accepted_only=True)
        similarity = means_by(alike, _key(alike, key))
        groups: dict[tuple[Unit, int], JsonDict] = {}
        for unit, columns in self._primary.items():
            plain, every, unscored = columns.accepted(), columns.all(), columns.unscored()
            scored, counted = (means_by(table, _key(table, key)) for table in (plain, every))
            unheard = {int(number) for number in np.unique(_key(unscored, key))} - scored.keys()
            for number in sorted(counted.keys() | unheard):
                own_rows, own_macro, own_micro = scored.get(number, _NO_RATE)
                # where nobody listened, failures alone would make a rate of 1
                rows, macro, micro = _NO_RATE if number in unheard else counted[number]
                groups[unit, number] = {
                    "rows": own_rows,
                    "macro": own_macro,
                    "micro": own_micro,
                    "rows_with_failures": rows,
                    "macro_with_failures": macro,
                    "micro_with_failures": micro,
                    "similarity": similarity[number][1] if number in similarity else None,
                }
        return groups


def is_compared(row: Row, similarity: str) -> bool:
    """Whether a row of the run is to have that column: few manifests name ground truths."""
    return similarity == "similarity" or row.get("ground_truth_audio") is not None


def _rates(columns: RateColumns, units: str, ranks: Ints, resamples: int) -> JsonDict:
    plain, every = columns.accepted(), columns.all()
    if not len(plain) and len(columns.unscored()):
        every = plain  # as in a group
    found = _described(plain, units, ranks, resamples)
    same = len(every) == len(plain)
    return found | {"with_failures": dict(found) if same else _described(every, units, ranks, resamples)}


def _described(table: RateTable, units: str, ranks: Ints, resamples: int) -> JsonDict:
    return {
        "rows": len(table),
        "errors": int(table.errors.sum()),
        f"reference_{units}": int(table.units.sum()),
        **describe(replace(table, voices=ranks[table.voices]), resamples=resamples),
    }


def _key(table: RateTable, key: Key) -> Ints:
    return {"voices": table.voices, "languages": table.languages, "categories": table.categories}[key]


def _counts(row: Row, unit: Unit) -> tuple[int, int]:
    """Errors and N."""
    name, units = _UNITS[unit]
    errors = sum(row[f"{name}_{kind}"] for kind in ("substitutions", "deletions", "insertions"))
    return errors, row[f"{name}_reference_{units}"]


def _length(row: Row, unit: Unit) -> int:
    """N of a text that nobody heard. Of one that is not there, 1: the row is one error all the same."""
    said = normalizer_for(row.get("language") or "und")(spoken_text(row.get("target_text") or ""))
    return max(1, len(said.split() if unit == "word" else said.replace(" ", "")))
