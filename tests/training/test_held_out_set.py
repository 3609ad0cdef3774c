"""The held-out set as it is committed, and how its speakers are chosen."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.audio import decode_audio
from pipeline.training import texts
from pipeline.training.corpus import CorpusPlan
from pipeline.training.held_out_set import (
    REFERENCE_TEXTS,
    choose_speakers,
    held_out_rows,
    manifest_csv,
)

MANIFESTS = Path(__file__).parents[2] / "manifests"
SENTENCES = (MANIFESTS / "held_out_sentences.txt").read_text().splitlines()


def test_the_manifest_is_what_the_job_writes():
    rows = held_out_rows(SENTENCES, choose_speakers(CorpusPlan()))
    assert (MANIFESTS / "held_out.csv").read_bytes() == manifest_csv(rows, "held_out")


def test_every_speaker_says_25_sentences_and_has_a_reference_of_three_seconds():
    with (MANIFESTS / "held_out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == len({row["text"] for row in rows}) == 200
    by_ref = {ref: [r for r in rows if r["ref"] == ref] for ref in {row["ref"] for row in rows}}
    assert [len(found) for found in by_ref.values()] == [25] * 8
    for ref, found in by_ref.items():
        assert len({(row["speaker"], row["ref_text"]) for row in found}) == 1
        assert 2.4 <= decode_audio((MANIFESTS / ref).read_bytes()).duration_s <= 4.5


@pytest.mark.skipif(
    not all(path.exists() for path in (*texts.TEST_PROSE.values(), texts.FORTUNES, texts.WORDS)),
    reason="needs the Debian packages",
)
def test_no_training_has_heard_the_speakers_or_read_the_texts():
    plan = CorpusPlan()
    speakers = choose_speakers(plan)
    numbers = [int(speaker.speaker_id.rpartition("-")[2]) for speaker in speakers]
    assert all(plan.speakers <= n < plan.speakers + plan.held_out_speakers for n in numbers)
    assert len(set(numbers)) == 8
    assert not set(REFERENCE_TEXTS) & {*SENTENCES, *texts.found_sentences()}


def test_the_next_speaker_is_never_nearer_than_one_that_is_left_out():
    # voices of one recorded person, alike in all but pitch, would be the last to be taken
    speakers = choose_speakers(CorpusPlan(), 16)
    assert {speaker.base_voice for speaker in speakers[:3]} == {"slt", "rms", "awb"}
    assert all(a.speaker_id != b.speaker_id for a, b in pairwise(speakers))
