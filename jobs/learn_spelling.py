"""Learn voicemill-mini's spelling rules from flite's dictionary: how its tokenizer turns letters into phones.

    python -m jobs.learn_spelling OUT [--rules N]

Needs the Debian packages of jobs.synthesize_corpus, and scowl, whose lists say which words are common. OUT is
`pipeline/training/english.rules` in a checkout; a model needs the rules it was trained with.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from pipeline.command_options import job_parser
from pipeline.errors import ConfigError
from pipeline.reported import reported
from pipeline.training.letter_to_sound import Phones, learn_rules
from pipeline.training.spelling import write_rules
from pipeline.training.texts import found_sentences, read_words

MAX_RULES = 6000
# SCOWL's lists of the most common words, and as how many occurrences in running text each of them counts
COMMON = {10: 400, 20: 100, 35: 20}
_SCOWL = Path("/usr/share/dict/scowl")
_AT_ONCE = 200  # words
# a word alone is stressed as in a list ("a" is "ey"), so each is said in a sentence
_BEFORE, _AFTER = ("s", "eh", "d"), ("n", "aw")


def dictionary(words: Sequence[str]) -> dict[str, Phones]:
    """The phones of each word that flite says as one word."""
    said: dict[str, Phones] = {}
    rest = iter(words)
    while batch := list(islice(rest, _AT_ONCE)):
        spoken = list(_phrases(batch))
        if len(spoken) != len(batch):  # one of them is said with a pause
            spoken = [(*_phrases([word]), ())[0] for word in batch]
        for word, phones in zip(batch, spoken, strict=True):
            inner = phones[len(_BEFORE) : -len(_AFTER)]
            if inner and phones == (*_BEFORE, *inner, *_AFTER):
                said[word] = inner
    return said


def common_words() -> Counter[str]:
    """Words by how often they count. Raises ConfigError where the lists are missing."""
    counts: Counter[str] = Counter()
    for level, count in COMMON.items():
        for kind in ("english", "american"):
            try:
                text = (_SCOWL / f"{kind}-words.{level}").read_text("iso-8859-1")
            except OSError as error:
                raise ConfigError(f"{error.filename}: {error.strerror}: apt-get install scowl") from error
            counts.update(dict.fromkeys(re.findall(r"^[a-z]+(?:'[a-z]+)*$", text, re.MULTILINE), count))
    return counts


def _phrases(words: Sequence[str]) -> Iterator[Phones]:
    text = " ".join(f"said {word} now." for word in words)
    try:
        done = subprocess.run(["t2p", text], capture_output=True, check=True, text=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"t2p: {error}: apt-get install flite") from error
    for phrase in re.split(r"\bpau\b", re.sub(r"\d", "", done.stdout)):
        if phrase.strip():
            yield tuple(phrase.split())


def main() -> int:
    parser = job_parser("learn_spelling", __doc__)
    parser.add_argument("out", type=Path, help="file to write the rules to")
    parser.add_argument("--rules", type=int, default=MAX_RULES, help="rules to keep, at most")
    given = parser.parse_args()
    counts = Counter(
        word for text in found_sentences() for word in re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())
    )
    counts += common_words()
    words = list(dict.fromkeys([*counts, *(word.lower() for word in read_words())]))
    said = dictionary(words)
    rules = learn_rules(said, counts, given.rules)
    given.out.write_text(write_rules(rules), "utf-8")
    print(f"{len(said)} of {len(words)} words, {len(rules)} rules: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
