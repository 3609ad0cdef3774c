"""Letter-to-sound rules of English, learned from a pronouncing dictionary.

As in Black, Lenzo and Pagel (1998), "Issues in building general letter to sound rules": expectation
maximisation aligns each letter with none, one or two phones, then a tree for each letter asks for its
neighbours. The best split of all trees is taken next, so rules go where running text needs them. A leaf is a
rule; nothing else is kept of the trees.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Phones = tuple[str, ...]
Counts = npt.NDArray[np.float64]
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
EDGE = "#"  # what is beyond the word
SYMBOLS = EDGE + LETTERS
REACH = 4  # letters looked at on either side
OFFSETS = tuple(sign * reach for reach in range(1, REACH + 1) for sign in (-1, 1))
_VOWELS = frozenset({"aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy"}) | frozenset(
    {"ow", "oy", "uh", "uw"}
)
_GROUPS = ("aeiouy", "eiy", "bcdfghjklmnpqrstvwxz", "aeiou", "#'", "#s", "#sd", "lr", "td", "csxz")
_QUESTIONS = np.array([[s in group for s in SYMBOLS] for group in (*SYMBOLS, *_GROUPS)])
_ROUNDS = 6  # of alignment; the last changes nothing
_RARE = (6.0, 0.0004)  # a letter's pronunciation with less weight, or a smaller share, is an error
_LEAST = (3.0, 3.0)  # nats that a split must save, and weight on either side of it
_NEVER = -1e9


@dataclass(frozen=True, slots=True)
class Rule:
    """`letter` is said as `phones` where the symbol at each offset in `context` is one of those named."""

    letter: str
    phones: Phones
    context: Mapping[int, frozenset[str]]


def learn_rules(said: Mapping[str, Phones], counts: Mapping[str, int], max_rules: int) -> list[Rule]:
    """Rules from words and their phones; a word in running text (`counts`) has the more weight.

    The rules of a letter exclude each other and leave nothing open.
    """
    weights = {word: 1.0 + counts.get(word, 0) ** 0.7 for word in said}
    return _grow(_rows(align_words(said, weights), weights), max_rules)


def pronounce(rules: Sequence[Rule], word: str) -> Phones:
    """A word of `LETTERS` by the rules."""
    phones: Phones = ()
    for i, letter in enumerate(word):
        around = {o: word[i + o] if 0 <= i + o < len(word) else EDGE for o in OFFSETS}
        fitting = (
            r for r in rules if r.letter == letter and all(around[o] in s for o, s in r.context.items())
        )
        phones += next(fitting).phones
    return phones


def align_words(said: Mapping[str, Phones], weights: Mapping[str, float]) -> dict[str, list[Phones]]:
    """The phones of each letter; words that cannot be aligned, or only in rare ways, are left out."""
    score: Callable[[str, Phones], float] = _first_guess
    for _ in range(_ROUNDS):
        found = _counted(said, weights, score)
        total = {letter: sum(c.values()) for letter, c in found.items()}
        score = _scorer(found, total, lambda _count, _total: True)
    least, share = _RARE
    score = _scorer(found, total, lambda count, total: count >= max(least, share * total))
    aligned = {word: _align(word, phones, score) for word, phones in said.items()}
    return {word: phones for word, phones in aligned.items() if phones is not None}


def _counted(
    said: Mapping[str, Phones], weights: Mapping[str, float], score: Callable[[str, Phones], float]
) -> dict[str, Counter[Phones]]:
    found: dict[str, Counter[Phones]] = defaultdict(Counter)
    for word, phones in said.items():
        for letter, part in zip(word, _align(word, phones, score) or (), strict=False):
            found[letter][part] += weights[word]  # type: ignore[assignment]
    return found


def _scorer(
    found: Mapping[str, Counter[Phones]],
    total: Mapping[str, float],
    is_known: Callable[[float, float], bool],
) -> Callable[[str, Phones], float]:
    table = {
        (letter, phones): math.log(count / total[letter])
        for letter, counts in found.items()
        for phones, count in counts.items()
        if is_known(count, total[letter])
    }
    return lambda letter, phones: table.get((letter, phones), _NEVER)


def _first_guess(letter: str, phones: Phones) -> float:
    if not phones:
        return -0.2 if letter == "'" else -2.0
    if len(phones) == 2:
        return -1.0 if letter == "x" else -2.0 if (letter, phones[0]) == ("u", "y") else -6.0
    return -1.0 if (letter in "aeiouy") == (phones[0] in _VOWELS) else -4.0


def _align(word: str, phones: Phones, score: Callable[[str, Phones], float]) -> list[Phones] | None:
    """The best way to give each letter none, one or two of the phones, in order."""
    num_phones = len(phones)
    best = [0.0] + [_NEVER] * num_phones
    taken: list[list[int]] = []
    for letter in word:
        reached, took = [_NEVER] * (num_phones + 1), [0] * (num_phones + 1)
        for j, so_far in enumerate(best):
            for k in range(min(2, num_phones - j) + 1) if so_far > _NEVER else ():
                value = so_far + score(letter, phones[j : j + k])
                if value > reached[j + k]:
                    reached[j + k], took[j + k] = value, k
        best = reached
        taken.append(took)
    if best[num_phones] <= _NEVER:
        return None
    parts, j = [], num_phones
    for took in reversed(taken):
        parts.append(phones[j - took[j] : j])
        j -= took[j]
    return parts[::-1]


@dataclass(frozen=True, slots=True)
class _Rows:
    """A letter's places: symbols around [N, offsets], index of what is said [N], weight [N]."""

    around: npt.NDArray[np.int64]
    said: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    labels: list[Phones]

    def of(self, mask: npt.NDArray[np.bool_]) -> _Rows:
        return _Rows(self.around[mask], self.said[mask], self.weight[mask], self.labels)


@dataclass(slots=True)
class _Leaf:
    letter: str
    rows: _Rows
    context: dict[int, frozenset[str]] = field(default_factory=dict)

    def rule(self) -> Rule:
        counts = _weighed(self.rows.said, self.rows.weight, len(self.rows.labels))
        return Rule(self.letter, self.rows.labels[int(counts.argmax())], self.context)


def _rows(aligned: Mapping[str, Sequence[Phones]], weights: Mapping[str, float]) -> dict[str, _Rows]:
    places: dict[str, list[tuple[list[int], Phones, float]]] = defaultdict(list)
    for word, parts in aligned.items():
        padded = EDGE * REACH + word + EDGE * REACH
        for i, (letter, part) in enumerate(zip(word, parts, strict=True)):
            symbols = [SYMBOLS.index(padded[i + REACH + offset]) for offset in OFFSETS]
            places[letter].append((symbols, part, weights[word]))
    rows = {}
    for letter, found in sorted(places.items()):
        labels = sorted({part for _, part, _ in found})
        index = {part: i for i, part in enumerate(labels)}
        around, said = np.array([a for a, _, _ in found]), np.array([index[p] for _, p, _ in found])
        rows[letter] = _Rows(around, said, np.array([w for *_, w in found]), labels)
    return rows


def _grow(rows: Mapping[str, _Rows], max_rules: int) -> list[Rule]:
    waiting: list[tuple[float, int, int, int, _Leaf]] = []
    done: list[_Leaf] = []

    def take(leaf: _Leaf) -> None:
        saved, offset, question = _best_split(leaf.rows)
        if saved > _LEAST[0]:
            heapq.heappush(waiting, (-saved, len(done) + len(waiting), offset, question, leaf))
        else:
            done.append(leaf)

    for letter, found in rows.items():
        take(_Leaf(letter, found))
    while waiting and len(done) + len(waiting) < max_rules:
        *_, offset, question, leaf = heapq.heappop(waiting)
        yes = _QUESTIONS[question][leaf.rows.around[:, offset]]
        allowed = leaf.context.get(OFFSETS[offset], frozenset(SYMBOLS))
        named = frozenset(s for s, is_in in zip(SYMBOLS, _QUESTIONS[question], strict=True) if is_in)
        for mask, symbols in ((yes, allowed & named), (~yes, allowed - named)):
            take(_Leaf(leaf.letter, leaf.rows.of(mask), leaf.context | {OFFSETS[offset]: symbols}))
    leaves = [*done, *(leaf for *_, leaf in waiting)]
    return sorted((leaf.rule() for leaf in leaves), key=lambda r: (r.letter, r.phones, _sorted(r.context)))


def _sorted(context: Mapping[int, frozenset[str]]) -> list[tuple[int, str]]:
    return sorted((offset, "".join(sorted(symbols))) for offset, symbols in context.items())


def _best_split(rows: _Rows) -> tuple[float, int, int]:
    """Nats saved by the best question, its offset's index and its own."""
    num_labels = len(rows.labels)
    total = _weighed(rows.said, rows.weight, num_labels)
    best = (0.0, 0, 0)
    if (total > 0).sum() < 2:
        return best
    for o in range(len(OFFSETS)):
        at = rows.around[:, o] * num_labels + rows.said
        counts = _weighed(at, rows.weight, len(SYMBOLS) * num_labels).reshape(-1, num_labels)
        yes: Counts = _QUESTIONS @ counts
        no: Counts = total - yes
        saved = _nats(total) - _nats(yes) - _nats(no)
        saved[(yes.sum(1) <= _LEAST[1]) | (no.sum(1) <= _LEAST[1])] = 0.0
        question = int(saved.argmax())
        best = max(best, (float(saved[question]), o, question), key=lambda found: found[0])
    return best


def _weighed(labels: npt.NDArray[np.int64], weight: Counts, size: int) -> Counts:
    """The weight of each label."""
    return np.asarray(np.bincount(labels, weight, size), np.float64)


def _nats(counts: Counts) -> npt.NDArray[np.float64]:
    """What it costs to name the labels of `counts` [..., labels], knowing their shares."""
    kept = np.maximum(counts, 1e-12)
    shares = kept / kept.sum(-1, keepdims=True)
    return np.asarray(-(counts * np.log(shares)).sum(-1))
