"""Rules learned from a small dictionary say its words, and new ones that follow the same rules."""

from __future__ import annotations

import pytest

from pipeline.training.letter_to_sound import Phones, align_words, learn_rules, pronounce

# c is s before e and i, k elsewhere; a final e is silent; x is two phones
SAID: dict[str, Phones] = {
    word: tuple(phones.split())
    for word, phones in {
        "cat": "k ae t",
        "cats": "k ae t s",
        "can": "k ae n",
        "act": "ae k t",
        "cot": "k aa t",
        "cent": "s eh n t",
        "cell": "s eh l",
        "tens": "t eh n s",
        "net": "n eh t",
        "tin": "t ih n",
        "tic": "t ih k",
        "cit": "s ih t",
        "ice": "ay s",
        "nice": "n ay s",
        "tax": "t ae k s",
        "ax": "ae k s",
        "on": "aa n",
        "lot": "l aa t",
        "till": "t ih l",
    }.items()
}


def test_letters_are_aligned_with_what_they_say() -> None:
    aligned = align_words(SAID, dict.fromkeys(SAID, 10.0))
    assert aligned["tax"] == [("t",), ("ae",), ("k", "s")]
    assert aligned["cats"] == [("k",), ("ae",), ("t",), ("s",)]
    assert aligned["cell"][:2] == [("s",), ("eh",)]
    assert sorted(aligned["cell"][2:]) == [(), ("l",)]  # one of the two is silent


@pytest.mark.parametrize(("word", "phones"), [("cats", "k ae t s"), ("scot", "s k aa t"), ("cen", "s eh n")])
def test_rules_say_words_they_have_not_seen(word: str, phones: str) -> None:
    rules = learn_rules(SAID, dict.fromkeys(SAID, 100), max_rules=60)
    assert pronounce(rules, word) == tuple(phones.split())


def test_exactly_one_rule_fits_every_place() -> None:
    rules = learn_rules(SAID, dict.fromkeys(SAID, 100), max_rules=60)
    for word in [*SAID, "nonce", "lexicon"]:
        padded = "####" + word + "####"
        for i, letter in enumerate(word, start=4):
            fitting = [
                rule
                for rule in rules
                if rule.letter == letter and all(padded[i + o] in s for o, s in rule.context.items())
            ]
            assert len(fitting) == 1


def test_there_are_no_more_rules_than_asked_for() -> None:
    letters = {letter for word in SAID for letter in word}
    assert len(learn_rules(SAID, {}, max_rules=len(letters) + 3)) <= len(letters) + 3
