"""Published figures [ref] as the papers have them; the rest by hand."""

from __future__ import annotations

import pytest

from pipeline.metrics.protocols import PROTOCOLS, SEED_SPEAKER_MODEL
from pipeline.metrics.published import HeardBy, beside, departures, model_of

SEED = PROTOCOLS["seed-tts-eval/en"]
DEMO = HeardBy("demo:pocketsphinx-5.1.1/en-us", "demo:resemblyzer-0.1.4")
OWN = HeardBy(f"openai/whisper-large-v3@{'0' * 40}", f"{SEED_SPEAKER_MODEL}@1", "cuda")


def test_nothing_is_put_beside_the_demo():
    [higgs] = beside(SEED, DEMO)
    assert (higgs.system, higgs.wer, higgs.similarity) == ("Higgs Audio v2", None, None)
    assert higgs.withheld == [
        "WER: ours is heard by demo:pocketsphinx-5.1.1/en-us, not by openai/whisper-large-v3",
        f"SIM: ours is by demo:resemblyzer-0.1.4, not by {SEED_SPEAKER_MODEL}",
    ]


def test_the_protocol_s_own_models_stand_beside_the_published_row():
    [higgs] = beside(SEED, OWN)
    assert (higgs.wer, higgs.similarity, higgs.withheld) == (0.0244, 0.6770, [])  # [ref]
    assert "believed test-en" in higgs.note
    [half] = beside(SEED, HeardBy(OWN.transcriber, "microsoft/wavlm-base-plus-sv@1"))
    assert (half.wer, half.similarity, len(half.withheld)) == (0.0244, None, 1)
    assert beside(PROTOCOLS["f5/en"], OWN) == []


def test_a_folder_of_the_same_name_is_not_taken_for_the_model():
    [higgs] = beside(SEED, HeardBy("whisper-large-v3@0123456789ab", "none"))
    assert higgs.wer is None


def test_what_is_not_as_in_the_protocol_is_said():
    said = departures(SEED, OWN)
    assert [line.partition(":")[0] for line in said] == [
        "ASR resampler",
        "ASR batch",
        "ASR over_30_s",
        "ASR silence",
        "ASR revision",
    ]
    assert said[-1] == f"ASR revision: seed-tts-eval/en names none, this run has {'0' * 40}"
    on_cpu = departures(SEED, HeardBy(OWN.transcriber, OWN.speaker_encoder, "cpu"))
    assert not any(line.startswith("ASR batch") for line in on_cpu)
    demo = departures(SEED, DEMO)
    assert "ASR model: seed-tts-eval/en has openai/whisper-large-v3, this run demo:pocketsphinx" in demo
    assert departures(PROTOCOLS["demo/en"], DEMO) == [
        "ASR revision: demo/en names none, this run has 5.1.1/en-us"
    ]


@pytest.mark.parametrize(
    ("evaluator", "model"),
    [
        ("demo:pocketsphinx-5.1.1/en-us", "demo:pocketsphinx"),
        ("openai/whisper-large-v3@abc", "openai/whisper-large-v3"),
        ("none", "none"),
    ],
)
def test_the_model_of_an_id(evaluator, model):
    assert model_of(evaluator) == model


def test_of_a_run_s_identity():
    identity = {"transcriber": "a@1", "speaker_encoder": "b@2", "evaluator_devices": "cuda, cpu"}
    assert HeardBy.of(identity) == HeardBy("a@1", "b@2", "cuda")
    assert HeardBy.of(identity | {"evaluator_devices": ""}).transcriber_device == "cpu"
