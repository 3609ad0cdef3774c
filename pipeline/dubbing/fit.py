"""Whether a take fits its cue, what is done where it does not, and which take is chosen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Literal

from pipeline.programme.subtitles import Cue
from pipeline.programme.timeline import sample_at

Kind = Literal["fits", "stretched", "runs_over", "cut", "no_room"]
_KINDS: tuple[Kind, ...] = ("fits", "stretched", "runs_over", "cut", "no_room")
# a take that is more than twice its limit will not be halved by another seed
_HOPELESS = 2.0


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a cue lies, in samples: its own `length` from `start`, and the `room` there is for it."""

    start: int
    length: int
    room: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A take on its slot, in samples: `spoken` at `pace` times its own speed, of which `placed` are kept."""

    kind: Kind
    pace: float
    spoken: int
    placed: int

    @property
    def lost(self) -> int:
        return self.spoken - self.placed


@dataclass(frozen=True, slots=True)
class Take:
    """One attempt at a cue. `start_s` and `end_s` are what of its sound is speech, in seconds, `silence_s` is
    the rest.

    passed: its gates; reasons: why not. error_rate: WER, or CER where characters are the language's unit.
    """

    utterance_id: str
    start_s: float
    end_s: float
    passed: bool
    error_rate: float | None = None
    similarity: float | None = None
    reasons: tuple[str, ...] = ()
    silence_s: float = 0.0
    model: str | None = None  # id@revision

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def slots_of(cues: Sequence[Cue], sample_rate: int, length: int, *, crosstalk: bool = False) -> list[Slot]:
    """The slots of cues in the order of their starts, on a track of `length` samples.

    No slot reaches into the next, also where the cues themselves overlap: of two that begin together the
    first has no room. With `crosstalk` cues of other speakers that begin within a cue's own time leave it
    that time, and no more: where one of them goes on at its end there is no gap behind it. What lies beyond
    the track has no room either.
    """
    starts = [min(sample_at(cue.start_s, sample_rate), length) for cue in cues]
    ends = [min(sample_at(cue.end_s, sample_rate), length) for cue in cues]
    last: dict[str | None, int] = {}  # where what each speaker has begun ends
    slots = []
    for i, (cue, start, end) in enumerate(zip(cues, starts, ends, strict=True)):
        following, talked_over = (
            length,
            crosstalk and any(behind > end for speaker, behind in last.items() if speaker != cue.speaker),
        )
        for j in range(i + 1, len(cues)):
            if not crosstalk or cues[j].speaker == cue.speaker or starts[j] >= end:
                following = starts[j]
                break
            talked_over = talked_over or ends[j] > end
        room = max((min(following, end) if talked_over else following) - start, 0)
        slots.append(Slot(start, min(max(end - start, 0), room), room))
        last[cue.speaker] = max(last.get(cue.speaker, 0), end)
    return slots


def fit(duration: int, slot: Slot, most: float) -> Fit:
    """What becomes of `duration` samples on a slot, if speech may be at most `most` times as fast.

    As it is; else faster, to just its slot; else as fast as may be and into the gap behind the slot; else it
    is cut off where the next cue begins, and where that begins at once nothing is placed. Raises ValueError
    for a bound below 1.
    """
    if most < 1:
        raise ValueError(f"a stretch bound of {most}: it is at least 1")
    if duration <= slot.length:
        return Fit("fits", 1.0, duration, duration)
    if duration <= floor(slot.length * most):
        return Fit("stretched", duration / slot.length, slot.length, slot.length)
    if slot.room == 0:
        return Fit("no_room", 1.0, 0, 0)
    shortest = ceil(duration / most)
    if shortest <= slot.room:
        return Fit("runs_over", most, shortest, shortest)
    return Fit("cut", most, shortest, slot.room)


def choose(takes: Sequence[Take], slot: Slot, sample_rate: int, most: float) -> tuple[Take, Fit] | None:
    """The best take and its fit; None without takes.

    Those that pass their gates come first: a sentence cut off at its frame limit fits any slot. Then the
    kind of fit, less that is cut off, the lower error rate, the higher similarity, the order given. What
    was not measured comes last.
    """
    fits = [(take, fit(sample_at(take.duration_s, sample_rate), slot, most)) for take in takes]

    def order(pair: tuple[Take, Fit]) -> tuple[bool, int, int, float, float]:
        take, its = pair
        return (
            not take.passed,
            _KINDS.index(its.kind),
            its.lost,
            inf if take.error_rate is None else take.error_rate,
            inf if take.similarity is None else -take.similarity,
        )

    return min(fits, key=order, default=None)


def limit_s(take: Take, its: Fit, slot: Slot, sample_rate: int, most: float) -> float | None:
    """How long another take may be, in seconds, so that stretching is enough; None if none is worth it."""
    if its.kind == "fits":
        return None
    limit = slot.length * most / sample_rate
    # the model's frames are silence, too
    return limit + take.silence_s if take.duration_s <= _HOPELESS * limit else None
