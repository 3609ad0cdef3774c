"""Which texts each voice says, and how: one sequence of rows, of which the wanted hours are a beginning.

Every speaker has a sequence of its own: all texts in its languages, once, beginning at another place of one
shuffled list, so that a text is repeated as late as possible. The sequences are merged by the speech that
each speaker has so far (estimated), so that hours stay level. Styles take turns by their shares, each speaker
beginning one turn later than the one before, so that few rows have their shares too. All of it depends on the
plan's seed, languages and styles, the texts and the voices alone: more hours are a longer beginning.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.dataset.hours import Limits
from pipeline.dataset.inputs import Text, Voice
from pipeline.dataset.plan import DatasetPlan
from pipeline.engine.frame_budget import estimate_duration_s

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")
_NAME_CHARS = 40
_FIRST_TURNS = 100  # of the styles, at which speakers begin: a hundredth is among them


@dataclass(frozen=True, slots=True)
class Draw:
    """A row to be spoken. `start_s` is the speech that its speaker has before it, all seconds estimated."""

    utterance_id: str
    voice: Voice
    text: Text
    style: str
    start_s: float
    seconds: float


class Sampler:
    """`speakers` have texts in a language of theirs, `silent` ones have none."""

    def __init__(self, plan: DatasetPlan, texts: Sequence[Text], voices: Sequence[Voice]) -> None:
        self.plan = plan
        self._voices: dict[str, list[Voice]] = {}
        for voice in voices:
            self._voices.setdefault(voice.speaker, []).append(voice)
        # a text that is added to the list moves no other
        self._texts = sorted(texts, key=lambda text: _digest(plan.seed, "text", text.key))
        self._shares = {name: style.share for name, style in sorted(plan.style_shares.items())}
        spoken = {text.language for text in texts}
        self._pools: dict[str, tuple[frozenset[str], list[Text]]] = {}
        lists: dict[frozenset[str], list[Text]] = {}
        for speaker, own in self._voices.items():
            languages = frozenset(tag for tag in spoken if any(voice.speaks(tag) for voice in own))
            if languages not in lists:
                lists[languages] = [text for text in self._texts if text.language in languages]
            self._pools[speaker] = (languages, lists[languages])
        order = sorted(self._voices, key=lambda speaker: _digest(plan.seed, "speaker", speaker))
        self.speakers = [speaker for speaker in order if self._pools[speaker][1]]
        self.silent = [speaker for speaker in order if not self._pools[speaker][1]]

    def draw(self, limits: Limits, taken: Mapping[str, int] | None = None) -> list[Draw]:
        """The rows up to `limits` that come after those which are `taken`, the first so many of a speaker.

        There are fewer where the texts end.
        """
        before = taken or {}
        streams = [self._stream(speaker, before.get(speaker, 0), limits) for speaker in self.speakers]
        total = sum(self.seconds_of(before).values())
        found = []
        # equal starts are in the order of the streams
        for draw in heapq.merge(*streams, key=lambda draw: draw.start_s):
            if limits.total_s is not None and total >= limits.total_s:
                break
            total += draw.seconds
            found.append(draw)
        return found

    def seconds_of(self, taken: Mapping[str, int]) -> dict[str, float]:
        """Estimated speech of the first so many rows of each speaker."""
        ends = dict.fromkeys(self.speakers, 0.0)
        for speaker, count in taken.items():
            for draw in itertools.islice(self._stream(speaker, 0, Limits()), count):
                ends[speaker] = draw.start_s + draw.seconds
        return ends

    def _stream(self, speaker: str, skipped: int, limits: Limits) -> Iterator[Draw]:
        start_s = 0.0
        turn = self.speakers.index(speaker) % _FIRST_TURNS
        styles = itertools.islice(turns(self._shares), turn, None)
        for i, (text, style) in enumerate(zip(self._order(speaker), styles, strict=False)):
            if start_s >= limits.speakers.get(speaker, float("inf")):
                return
            seconds = estimate_duration_s(text.text, text.language)
            if i >= skipped:
                yield self._draw(speaker, text, style, start_s, seconds)
            start_s += seconds

    def _order(self, speaker: str) -> Iterator[Text]:
        """All texts that the speaker's voices speak, from its own place in their list on."""
        languages, texts = self._pools[speaker]
        sharing = [other for other in self.speakers if self._pools[other][0] == languages]
        first = sharing.index(speaker) * len(texts) // len(sharing)
        for i in range(len(texts)):
            yield texts[(first + i) % len(texts)]

    def _draw(self, speaker: str, text: Text, style: str, start_s: float, seconds: float) -> Draw:
        voices = [voice for voice in self._voices[speaker] if voice.speaks(text.language)]
        voice = voices[_digest(self.plan.seed, "voice", speaker, text.key) % len(voices)]
        name = f"{speaker_name(speaker)}-{_digest(speaker, text.key):016x}"
        return Draw(name, voice, text, style, start_s, seconds)


def speaker_name(speaker: str) -> str:
    """A speaker as part of a file's name; two speakers may share one."""
    return _NOT_IN_NAMES.sub("-", speaker).strip("-")[:_NAME_CHARS].strip("-") or "voice"


def turns(shares: Mapping[str, float]) -> Iterator[str]:
    """Names without end; among any so many in a row each has its share, give or take less than two."""
    whole = sum(shares.values())
    taken = dict.fromkeys(shares, 0)
    for count in itertools.count(1):
        # whoever is furthest below its share; of equals, the first
        name = max(shares, key=lambda name: count * shares[name] / whole - taken[name])
        taken[name] += 1
        yield name


def _digest(*parts: object) -> int:
    """64 bits that depend on nothing else."""
    said = "\0".join(map(str, parts)).encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.sha256(said).digest()[:8])
