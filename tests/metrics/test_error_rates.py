from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.error_rates import char_errors, error_rate, word_errors
from pipeline.records import ErrorCounts

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=8)


def edit_distance(left, right) -> int:
    """Wagner and Fischer (1974), one row at a time."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def total(counts: ErrorCounts) -> int:
    return counts.substitutions + counts.deletions + counts.insertions


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts", "rate"),
    [
        ("the cat sat", "the cat sat", (0, 0, 0, 3), 0.0),
        ("the cat sat", "the bat sat", (1, 0, 0, 3), 1 / 3),
        ("the cat sat down", "cat sat right down", (0, 1, 1, 4), 2 / 4),
        ("yes", "yes yes yes", (0, 0, 2, 1), 2.0),  # loops pass 100 %
        ("the cat", "", (0, 2, 0, 2), 1.0),
        ("", "", (0, 0, 0, 0), 0.0),
        ("", "thank you", (0, 0, 2, 0), None),
    ],
)
def test_words_by_hand(reference, hypothesis, counts, rate):
    assert word_errors(reference, hypothesis) == ErrorCounts(*counts)
    assert error_rate(word_errors(reference, hypothesis)) == rate


@pytest.mark.parametrize(
    ("reference", "hypothesis", "spaces", "counts"),
    [
        ("kitten", "sitting", True, (2, 0, 1, 6)),  # the textbook's: k/s, e/i, +g
        ("ab cd", "abcd", True, (0, 1, 0, 5)),
        ("ab  cd", "ab\tcd", True, (0, 0, 0, 5)),  # any run of whitespace is one character
        ("안녕 세계", "안녕세계", False, (0, 0, 0, 4)),
        ("你好世界", "你号世界", False, (1, 0, 0, 4)),
        ("ab", "", True, (0, 2, 0, 2)),
        ("", "ab", True, (0, 0, 2, 0)),
        ("", "", True, (0, 0, 0, 0)),
    ],
)
def test_characters_by_hand(reference, hypothesis, spaces, counts):
    assert char_errors(reference, hypothesis, spaces=spaces) == ErrorCounts(*counts)


@given(WORDS, WORDS)
def test_words_against_a_levenshtein_of_our_own(reference, hypothesis):
    counts = word_errors(" ".join(reference), " ".join(hypothesis))
    assert total(counts) == edit_distance(reference, hypothesis)
    assert counts.reference_length == len(reference)
    # an alignment consumes both texts: hits + S + D = N and hits + S + I = the hypothesis
    assert counts.insertions - counts.deletions == len(hypothesis) - len(reference)


@given(st.text("abcあ ", max_size=10), st.text("abcあ ", max_size=10))
def test_characters_against_a_levenshtein_of_our_own(reference, hypothesis):
    single_spaced = [" ".join(text.split()) for text in (reference, hypothesis)]
    assert total(char_errors(reference, hypothesis)) == edit_distance(*single_spaced)


@given(WORDS, WORDS)
def test_distance_does_not_depend_on_which_is_the_reference(left, right):
    a, b = " ".join(left), " ".join(right)
    assert total(word_errors(a, b)) == total(word_errors(b, a))
