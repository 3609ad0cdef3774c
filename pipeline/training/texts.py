"""What the teacher is given to say: sentences out of Debian packages, and sentences made up.

From `bible-kjv-text` (read by its program `bible`), `fortunes` and `wamerican`. Found sentences are
plain: letters, `'`, `-`, `,` and one mark at the end, so that spelling and speech agree. Made-up ones
bring what old prose lacks: numbers, names, and rare words without a context to guess them from.
The test sentences come from other packages' prose, see `held_out_sentences`.
"""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from pipeline.metrics.cardinals import cardinal

MIN_CHARS, MAX_CHARS = 15, 70
FORTUNES = Path("/usr/share/games/fortunes")
WORDS = Path("/usr/share/dict/american-english")
TEST_PROSE = {
    "jargon-text": Path("/usr/share/doc/jargon-text/jargon.txt.gz"),
    "debian-faq": Path("/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz"),
}

MADE_UP_SHARE = 5  # every fifth sentence
_SENTENCE = re.compile(r"[A-Z](?:[A-Za-z]|(?<=[A-Za-z])['-](?=[A-Za-z])|,(?= )| (?! ))*[A-Za-z][.?!]")
_SHOUTED = re.compile(r"[A-Z]{2}")
_CODE = re.compile(r"[a-z][A-Z]")
# the teacher reads these, a shipped model need not
_LEFT_OUT = re.compile(
    r"\b(?:ass|asses|bastard\w*|bitch\w*|cock|crap|cunt\w*|damn\w*|dick|dung|fag\w*|fart\w*|fuck\w*|harlot\w*|"
    r"kill\w*|murder\w*|negro\w*|nigger\w*|piss\w*|queer\w*|rap(?:e|ed|ist)|sex\w*|shit\w*|slut\w*|suicid\w*|"
    r"tits?|whor\w*|bosom\w*|concubine\w*|nazi\w*|hitler)\b",
    re.IGNORECASE,
)
_NOT_FOR_TESTS = re.compile(r"\b(?:clothes|gay|bisexual|sucks|screwed|toking|esp\.$|etc\.$)", re.IGNORECASE)


def found_sentences() -> list[str]:
    """Every distinct fitting sentence of the Bible and the fortunes, in the order of the sources.

    Raises ConfigError with the package to install where one is missing.
    """
    return list(dict.fromkeys([*_fitting(_bible_clauses()), *_fitting(_fortune_sentences())]))


def read_words() -> list[str]:
    """The word list: plain words and names of 2 to 12 letters. Raises ConfigError where it is missing."""
    words = _read(WORDS, "wamerican").split()
    return [w for w in words if re.fullmatch(r"[A-Z]?[a-z]{1,11}", w) and len(w) > 1 and _is_clean(w)]


def held_out_sentences(count: int, seed: int = 0) -> list[str]:
    """`count` sentences of 25 to 60 characters for tests, from the Jargon File and the Debian FAQ.

    No corpus has them. Every word is in the word list and no name, so that a listener knows it.
    Raises ConfigError where a package is missing.
    """
    known = {word for word in read_words() if word.islower()} | {"a", "I"}
    prose = [_read(path, package) for package, path in TEST_PROSE.items()]
    found = {s for text in prose for s in _fitting(_sentences(text)) if 25 <= len(s) <= 60}
    plain = sorted(s for s in found if known.issuperset(re.findall(r"[A-Za-z'-]+", s[0].lower() + s[1:])))
    unseen = sorted({s for s in plain if not _NOT_FOR_TESTS.search(s)} - set(found_sentences()))
    return [unseen[i] for i in np.random.default_rng(seed).permutation(len(unseen))[:count]]


class TextSource:
    """Sentence `n` for every n >= 0, a pure function of the seed and the packages' texts."""

    def __init__(self, found: Sequence[str], words: Sequence[str], seed: int) -> None:
        self._found: list[str] = [found[i] for i in np.random.default_rng([seed, 1]).permutation(len(found))]
        self._names = [word for word in words if word[0].isupper()]
        self._words = [word for word in words if word[0].islower()]
        self._seed = seed

    @classmethod
    def from_packages(cls, seed: int) -> TextSource:
        return cls(found_sentences(), read_words(), seed)

    def __getitem__(self, n: int) -> str:
        """Every fifth one is made up; found ones come round again when all have been read."""
        if n % MADE_UP_SHARE == MADE_UP_SHARE - 1:
            return self._made_up(np.random.default_rng([self._seed, 2, n]))
        return self._found[(n - n // MADE_UP_SHARE) % len(self._found)]

    def _made_up(self, rng: np.random.Generator) -> str:
        kind = rng.integers(4)
        if kind == 0:
            return self._with_numbers(rng)
        if kind == 1:
            return self._with_names(rng)
        words = [self._word(rng) for _ in range(rng.integers(3, 9))]
        text = " ".join(words)[: MAX_CHARS - 1].rstrip(" '-,")
        return text[0].upper() + text[1:] + "."

    def _with_numbers(self, rng: np.random.Generator) -> str:
        small, large = int(rng.integers(2, 100)), int(10 ** rng.uniform(0.5, 5.0))
        templates = (
            f"The {self._word(rng)} costs {cardinal(small)} dollars.",
            f"There were {cardinal(large)} of them.",
            f"Call {' '.join(cardinal(int(d)) for d in rng.integers(0, 10, 6))}.",
            f"Page {cardinal(small)} has {cardinal(int(rng.integers(2, 30)))} lines.",
            f"It is {cardinal(int(rng.integers(1, 13)))} {cardinal(int(rng.integers(10, 60)))} now.",
        )
        fitting = [text for text in templates if len(text) <= MAX_CHARS]
        return fitting[rng.integers(len(fitting))]

    def _with_names(self, rng: np.random.Generator) -> str:
        one, other = (self._names[i] for i in rng.integers(0, len(self._names), 2))
        templates = (
            f"My name is {one} {other}.",
            f"{one} and {other} are on their way home.",
            f"Have you seen {one} in {other}?",
            f"Please ask {one} about the {self._word(rng)}.",
            f"{one} moved from {other} last year.",
        )
        return templates[rng.integers(len(templates))]

    def _word(self, rng: np.random.Generator) -> str:
        return self._words[rng.integers(len(self._words))]


def _fitting(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in sentences:
        plain = _SENTENCE.fullmatch(sentence) and not _SHOUTED.search(sentence) and not _CODE.search(sentence)
        if plain and MIN_CHARS <= len(sentence) <= MAX_CHARS and _is_clean(sentence):
            yield sentence


def _is_clean(text: str) -> bool:
    return not _LEFT_OUT.search(text)


def _bible_clauses() -> Iterator[str]:
    # verses are long: a clause between marks is a sentence of a size to say
    try:
        verses = subprocess.run(
            ["bible", "-f", "gen1:1-rev22:21"],  # noqa: S607
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"bible: {error}: apt-get install bible-kjv") from error
    for line in verses.splitlines():
        verse = line.partition(" ")[2].replace("LORD", "Lord").replace("GOD", "God")
        for clause in re.findall(r"[^.;:?!()]+[.;:?!]", verse):
            text = clause.strip()
            if text:
                yield text[0].upper() + text[1:-1].rstrip() + (text[-1] if text[-1] in ".?!" else ".")


def _fortune_sentences() -> Iterator[str]:
    if not FORTUNES.is_dir():
        raise ConfigError(f"{FORTUNES} is missing: apt-get install fortunes fortunes-min")
    for path in sorted(FORTUNES.glob("*")):
        if path.suffix or "ascii" in path.name:
            continue
        for fortune in re.split(r"\n%\n", path.read_text("utf-8", "replace")):
            said = re.split(r"\n\s*--", fortune)[0]  # who said it is not part of it
            yield from _sentences(said)


def _sentences(prose: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", prose):
        joined = re.sub(r"\s+", " ", paragraph).strip()
        yield from re.split(r"(?<=[.?!]) ", joined)


def _read(path: Path, package: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: apt-get install {package}") from error
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")
