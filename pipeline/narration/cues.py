"""What is heard as subtitle cues: two lines at most, a longer segment cut where one would pause. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from unicodedata import category

from pipeline.narration.placing import Placed
from pipeline.narration.sentences import clause_ends, sentences
from pipeline.narration.voices import DEFAULT
from pipeline.programme.subtitles import Cue

LINE_COLUMNS = 42  # a character of a script without spaces takes two
# Thai, Lao, Burmese, Khmer; kana, Han and what stands between them
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_SPACES = re.compile(r"[^\S\u00a0\u202f]+")  # a no-break space stays inside its line
_NEVER_FIRST = "ぁぃぅぇぉっゃゅょァィゥェォッャュョะาำ"  # beside marks and what closes
_NEVER_LAST = "เแโใไເແໂໃໄ"  # beside what opens: vowels that are written before their consonant
_LEAST_SHARE = 0.15  # of a text that is parted: a shorter cue would flash by


def cues_of(placed: Sequence[Placed], sample_rate: int, language: str) -> list[Cue]:
    """The cues of the segments that are heard, as written. Where there are several voices, those with a name
    are told; `default` has none.

    Cues of one segment share its time by their characters, from its very start to its very end.
    """
    several = len({each.heard.segment.voice for each in placed}) > 1
    cues = []
    for each in placed:
        if each.heard.take is None:
            continue
        texts = cue_texts(each.heard.segment.written, language)
        voice = each.heard.segment.voice
        speaker = voice if several and voice != DEFAULT else None
        said = list(accumulate((len("".join(text.split())) for text in texts), initial=0))
        bounds = [(each.start + each.length * count / said[-1]) / sample_rate for count in said]
        cues += [
            Cue(start_s, end_s, text, speaker)
            for (start_s, end_s), text in zip(pairwise(bounds), texts, strict=True)
        ]
    return cues


def cue_texts(text: str, language: str) -> list[str]:
    """`text` as cues of one line or two, parted by `\\n`, LINE_COLUMNS wide at most.

    Cut at ends of sentences, else of clauses, else of words, near the middle, and lines likewise; a word is
    cut only where it is longer than a line.
    """
    text = text.strip()
    if _columns(text) <= LINE_COLUMNS:
        return [text]
    places = list(_places(text, language))
    for at in places:
        lines = (text[:at].rstrip(), text[at:])
        if max(map(_columns, lines)) <= LINE_COLUMNS:
            return ["\n".join(lines)]
    cut = places[0] if places else len(text) // 2
    parts = (text[:cut], text[cut:])
    return [each for part in parts if part.strip() for each in cue_texts(part, language)]


def _places(text: str, language: str) -> Iterator[int]:
    """Where it may be parted, the best place first; those at its very ends last."""
    margin = len(text) * _LEAST_SHARE
    words = (_behind_spaces(text), _between_characters(text))
    starts = [begin for begin, _ in sentences(text, language)]
    for found in (starts, *clause_ends(text), *words):
        yield from _nearest_the_middle(found, len(text), margin)
    for found in words:
        yield from _nearest_the_middle(found, len(text), 1)


def _nearest_the_middle(found: Sequence[int], length: int, margin: float) -> list[int]:
    inner = (at for at in found if margin <= at <= length - margin)
    return sorted(inner, key=lambda at: abs(2 * at - length))


def _columns(text: str) -> int:
    return len(text) + len(_UNSPACED.findall(text))


def _behind_spaces(text: str) -> list[int]:
    return [space.end() for space in _SPACES.finditer(text)]


def _between_characters(text: str) -> list[int]:
    """Where a script without spaces may be parted: not before what closes, nor behind what opens."""
    return [
        at
        for at, (before, behind) in enumerate(pairwise(text), start=1)
        if (_UNSPACED.match(before) or _UNSPACED.match(behind))
        and not (category(behind) in ("Pe", "Pf", "Po", "Mn", "Mc", "Lm") or behind in _NEVER_FIRST)
        and not (category(before) in ("Ps", "Pi") or before in _NEVER_LAST)
    ]
