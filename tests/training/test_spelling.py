"""The normaliser says what the rules say, and the shipped rules say English as dictionaries do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from pipeline.errors import ConfigError
from pipeline.training.letter_to_sound import LETTERS, pronounce
from pipeline.training.phones import PAUSE, PHONES
from pipeline.training.spelling import IPA, RULES_FILE, phone_normalizers, read_rules, write_rules

RULES = read_rules(RULES_FILE.read_text("utf-8"))
NORMALIZER = normalizers.Sequence(phone_normalizers(RULES))
BY_LETTER = {letter: [rule for rule in RULES if rule.letter == letter] for letter in LETTERS}


def said(word: str) -> str:
    """By the rules themselves, without a tokenizer's regular expressions."""
    return "".join(IPA[phone] for phone in pronounce(RULES, word))


# transcribed by hand from the CMU Pronouncing Dictionary; flite writes its unstressed AH as a schwa
@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("knowledge", "n aa l ax jh"),
        ("thought", "th ao t"),
        ("science", "s ay ax n s"),
        ("one", "w ah n"),
        ("people", "p iy p ax l"),
        ("station", "s t ey sh ax n"),
        ("Said", "s eh d"),
        ("boxes", "b aa k s ax z"),
        ("don't", "d ow n t"),
        ("7", "s eh v ax n"),
    ],
)
def test_words_are_said_as_in_a_dictionary(word: str, phones: str) -> None:
    assert NORMALIZER.normalize_str(word).strip() == "".join(IPA[phone] for phone in phones.split())


@given(st.lists(st.text(alphabet=LETTERS, min_size=1, max_size=9), min_size=1, max_size=4))
def test_the_regular_expressions_are_the_rules(words: list[str]) -> None:
    assert NORMALIZER.normalize_str(" ".join(words)) == " ".join(said(word) for word in words)


def test_marks_and_strange_letters_stay() -> None:
    assert NORMALIZER.normalize_str("-, .?! 東京\n") == "-, .?! 東京\n"


def test_every_phone_has_a_character_of_its_own() -> None:
    assert set(IPA) == set(PHONES) - {PHONES[PAUSE]}
    assert len(set(IPA.values())) == len(IPA)
    assert all(len(character) == 1 for character in IPA.values())


def test_the_file_is_what_the_rules_are() -> None:
    assert read_rules(write_rules(RULES)) == RULES
    with pytest.raises(ConfigError, match=r"spelling rule 2: .*offset=symbols"):
        read_rules("a ae\nb b 1:x\n")
