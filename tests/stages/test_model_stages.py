"""pack, generate and decode on the stand-in, and the listening stages on evaluators with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pipeline.audio import Waveform, decode_audio, encode_flac
from pipeline.engine.base import GenerationItem
from pipeline.errors import EngineFatalError, RowError
from pipeline.evaluators.base import SpeakerEmbedding, Transcript
from pipeline.metrics.published import HeardBy
from pipeline.records import (
    GENERATED_ROW,
    RESULT_ROW,
    SAMPLE_ROW,
    ChatMLSample,
    GeneratedCodes,
    Row,
    SpeakerPrompt,
    to_table,
)
from pipeline.stages.decode_codes import decode_codes
from pipeline.stages.embed_speaker import embed_speaker
from pipeline.stages.encode_prompt import ReferenceClip, encode_prompts, voice_columns, voice_lookup
from pipeline.stages.generate_codes import generate_codes
from pipeline.stages.load_prompt import NO_TRANSCRIPT, prompt_id
from pipeline.stages.pack_sample import pack_samples, sample_columns, sample_of
from pipeline.stages.score_utterance import score_utterances
from pipeline.stages.transcribe import transcribe


def planned(number: int, **more: object) -> Row:
    return {
        **dict.fromkeys(SAMPLE_ROW.names),
        "row": number,
        "utterance_id": f"u{number}",
        "prompt_id": "p",
        "prompt_audio": "p.flac",
        "target_text": "Good evening.",
        "language": "en",
        "seed": number,
        **more,
    }


def sample(label: bool = False) -> ChatMLSample:
    codes = np.arange(24, dtype=np.uint16).reshape(8, 3)
    return ChatMLSample(
        messages=[{"role": "user", "type": "text", "text": "hi", "audio_url": None}],
        input_ids=[1, 2, 3],
        audio_ids_concat=codes,
        audio_ids_start=[0, 3],
        audio_waveforms_concat=np.arange(5, dtype=np.int16),
        audio_waveforms_start=[0, 5],
        audio_sample_rate=16_000,
        max_new_frames=9,
        label_ids=[-100, 2, 3] if label else None,
        label_audio_ids=codes[:, :2] if label else None,
    )


@pytest.mark.parametrize("label", [False, True])
def test_a_sample_survives_parquet_columns(label: bool) -> None:
    one = sample(label)
    row = to_table([planned(1) | sample_columns(one)], SAMPLE_ROW).to_pylist()[0]
    back = sample_of(row)
    for name in (
        "messages",
        "input_ids",
        "audio_ids_start",
        "audio_waveforms_start",
        "max_new_frames",
        "label_ids",
    ):
        assert getattr(back, name) == getattr(one, name)
    assert np.array_equal(back.audio_ids_concat, one.audio_ids_concat)
    assert np.array_equal(back.audio_waveforms_concat, one.audio_waveforms_concat)
    assert (back.label_audio_ids is None) == (one.label_audio_ids is None)
    if label:
        assert np.array_equal(back.label_audio_ids, one.label_audio_ids)


def test_a_voice_that_failed_fails_its_rows_and_no_other() -> None:
    class Format:
        def pack(self, request: object, prompt: object, *, max_new_frames: int) -> ChatMLSample:
            return sample()

    voice = SpeakerPrompt(
        "p", "x", np.zeros((8, 1), np.uint16), np.zeros(1, np.int16), 1.0, np.ones(2, np.float32)
    )

    def prompt_of(name: str) -> SpeakerPrompt:
        if name == "bad":
            raise RowError("prompt_text_unknown", "nothing heard")
        return voice

    rows = pack_samples([planned(1), planned(2, prompt_id="bad")], Format(), 25.0, prompt_of)  # type: ignore[arg-type]
    assert rows[0]["prompt_embedding"] == [1.0, 1.0]
    assert rows[0]["failed_stage"] is None
    assert (rows[1]["failed_stage"], rows[1]["error_code"]) == ("pack_sample", "prompt_text_unknown")


def test_the_ground_truth_travels_with_the_packed_sample_to_where_it_is_compared() -> None:
    class Format:
        def pack(self, request: object, prompt: object, *, max_new_frames: int) -> ChatMLSample:
            return sample()

    def prompt_of(prompt_id: str) -> SpeakerPrompt:
        if prompt_id == "changed":
            raise RowError("prompt_changed", "it is another file now")
        vector = np.array([0.0, 1.0] if prompt_id == "g" else [1.0, 0.0], np.float32)
        return SpeakerPrompt(prompt_id, "x", np.zeros((8, 1), np.uint16), np.zeros(1, np.int16), 1.0, vector)

    rows = [planned(1, ground_truth_id="g"), planned(2), planned(3, ground_truth_id="changed")]
    packed = pack_samples(rows, Format(), 25.0, prompt_of)  # type: ignore[arg-type]
    assert packed[2]["error_code"] == "prompt_changed"
    generated = to_table(to_table(packed, SAMPLE_ROW).to_pylist(), GENERATED_ROW).to_pylist()
    said = encode_flac(Waveform(np.full(16_000, 0.1, np.float32), 16_000))
    heard = embed_speaker(
        [row | {"audio": {"bytes": said}} for row in generated[:2]], Embeds([3.0, 4.0], [3.0, 4.0])
    )
    results = to_table(heard, RESULT_ROW).to_pylist()
    # (3, 4) is 5 long: 0.6 of the first axis, 0.8 of the second
    assert [row["similarity"] for row in results] == [pytest.approx(0.6)] * 2
    assert [row["similarity_ground_truth"] for row in results] == [pytest.approx(0.8), None]


def test_what_the_transcriber_wrote_for_a_missing_ref_text_is_kept() -> None:
    class Format:
        def pack(self, request: object, prompt: object, *, max_new_frames: int) -> ChatMLSample:
            return sample()

    voice = SpeakerPrompt(
        "p", "as it was heard", np.zeros((8, 1), np.uint16), np.zeros(1, np.int16), 1.0, None
    )
    rows = [planned(1), planned(2, prompt_text="As written.")]
    packed = pack_samples(rows, Format(), 25.0, lambda _: voice)  # type: ignore[arg-type]
    results = to_table(to_table(packed, GENERATED_ROW).to_pylist(), RESULT_ROW).to_pylist()
    assert [(row["prompt_text"], row["prompt_text_heard"]) for row in results] == [
        (None, "as it was heard"),
        ("As written.", None),
    ]


class Says:
    """An engine that says a row's seed, and cannot say seed 4."""

    id = "says"

    def speak(self, items: Sequence[GenerationItem]) -> list[GeneratedCodes | RowError]:
        return [
            RowError("generation_timeout", "too late")
            if item.seed == 4
            else GeneratedCodes(item.utterance_id, np.full((8, 2), item.seed, np.uint16), "eos", item.seed)
            for item in items
        ]


def test_generation_fills_in_codes_or_the_fault_of_a_row() -> None:
    rows = [planned(number) | sample_columns(sample()) for number in (5, 3, 4)]
    rows.insert(1, planned(9, failed_stage="check_prompt", error_code="x", error_message="y"))
    out = generate_codes(rows, Says())
    assert [row["row"] for row in out] == [5, 9, 3, 4]
    assert [row["error_code"] for row in out] == [None, "x", None, "generation_timeout"]
    assert [np.frombuffer(row["codes"], "<u2")[0] for row in (out[0], out[2])] == [5, 3]
    assert to_table(out, GENERATED_ROW).column("codes")[1].as_py() is None


def test_an_engine_that_loses_a_row_is_fatal() -> None:
    class Loses(Says):
        def speak(self, items: Sequence[GenerationItem]) -> list[GeneratedCodes | RowError]:
            return super().speak(items)[1:]

    rows = [planned(number) | sample_columns(sample()) for number in (1, 2)]
    with pytest.raises(EngineFatalError, match="1 outputs of 2 rows"):
        generate_codes(rows, Loses())


class Tone:
    """A codec whose frame of code c is 960 samples of c / 1000."""

    sample_rate = 24_000

    def encode(self, waveforms: Sequence[Waveform]) -> list[np.ndarray]:
        return [np.zeros((8, -(-len(w.samples) // 960)), np.uint16) for w in waveforms]

    def decode(self, codes: Sequence[np.ndarray]) -> list[Waveform]:
        return [Waveform(np.repeat(one[0] / 1000, 960).astype(np.float32), 24_000) for one in codes]


def generated(number: int, codes: np.ndarray) -> Row:
    return planned(number) | {
        "codes": codes.astype("<u2").tobytes(),
        "codes_shape": list(codes.shape),
        "codes_dtype": "uint16",
    }


def test_decoding_keeps_rows_and_fails_the_silent_one() -> None:
    rows = [
        generated(1, np.full((8, 2), 100)),
        generated(2, np.zeros((8, 0))),
        generated(3, np.full((8, 1), 300)),
    ]
    out = decode_codes(rows, Tone(), {})  # type: ignore[arg-type]
    assert [row["error_code"] for row in out] == [None, "no_audio_generated", None]
    assert [row.get("num_samples") for row in out] == [1920, None, 960]
    assert out[0]["duration_s"] == 0.08
    assert np.allclose(decode_audio(out[2]["audio"]["bytes"]).samples, 0.3, atol=1e-4)
    assert out[2]["audio"]["path"] == "u3.flac"


def spoken(number: int, **more: object) -> Row:
    return planned(number, **more) | {
        "audio": {"bytes": encode_flac(Waveform(np.zeros(10, np.float32), 16_000))}
    }


class Hears:
    id = "hears@1"

    def __init__(self, *texts: str | None) -> None:
        self.texts = texts

    def transcribe(self, waveforms: Sequence[Waveform], languages: Sequence[str]) -> list[Transcript]:
        return [Transcript(text, None if text is not None else "not my language") for text in self.texts]


def test_wer_by_hand_and_what_could_not_be_heard_says_why() -> None:
    rows = [spoken(1, target_text="the cat sat down"), spoken(2), spoken(3, target_text="50 boys'")]
    heard = transcribe(rows, Hears("the bat sat", None, "fifty boys"))
    out = score_utterances(heard, HeardBy("hears@1", "none"))
    # cat -> bat, "down" gone: 2 of 4 words
    assert (
        out[0]["wer"],
        out[0]["wer_substitutions"],
        out[0]["wer_deletions"],
        out[0]["wer_insertions"],
    ) == (0.5, 1, 1, 0)
    # c -> b and " down" gone: 6 of 16 characters
    assert out[0]["cer"] == 6 / 16
    assert (out[1].get("wer"), out[1]["unscored_reason"]) == (None, "not my language")
    assert out[2]["wer"] == 0.0
    assert all(row["transcriber"] == "hears@1" for row in out)


class Embeds:
    id = "embeds@1"

    def __init__(self, *vectors: list[float] | None) -> None:
        self.vectors = vectors

    def embed(self, waveforms: Sequence[Waveform]) -> list[SpeakerEmbedding]:
        return [
            SpeakerEmbedding(None, "silent") if v is None else SpeakerEmbedding(np.array(v, np.float32))
            for v in self.vectors
        ]


def test_similarity_by_hand() -> None:
    rows = [spoken(1, prompt_embedding=[3.0, 4.0]), spoken(2), spoken(3, prompt_embedding=[1.0, 0.0])]
    out = embed_speaker(rows, Embeds([4.0, 3.0], [1.0, 0.0], None))
    assert out[0]["similarity"] == pytest.approx(24 / 25)  # (3*4 + 4*3) / (5 * 5)
    assert out[1]["similarity"] is None
    assert "no speaker embedding of the reference" in out[1]["unscored_reason"]
    assert out[2]["unscored_reason"] == "similarity: silent"


def test_a_missing_transcript_is_filled_and_silence_is_a_row_error() -> None:
    wave = Waveform(np.zeros(24_000, np.float32), 24_000)
    clips = [
        ReferenceClip("a", "given", "en", wave),
        ReferenceClip("b", None, "en", wave),
        ReferenceClip("c", None, "en", wave),
    ]
    given, filled, silent = encode_prompts(clips, Tone(), Embeds([1.0], [1.0], [1.0]), Hears("heard", ""))  # type: ignore[arg-type]
    assert isinstance(given, SpeakerPrompt)
    assert (given.prompt_text, given.codes.shape, len(given.waveform)) == ("given", (8, 25), 16_000)
    assert isinstance(filled, SpeakerPrompt)
    assert filled.prompt_text == "heard"
    assert isinstance(silent, RowError)
    assert silent.code == "prompt_text_unknown"


def test_a_voice_is_its_embedding_and_the_length_of_its_speech() -> None:
    # half a second of silence before and after one of noise; the gate counts whole frames of 20 ms
    noise = 3000 * np.random.default_rng(0).standard_normal(16_000)
    wave = np.pad(noise, 8_000).astype(np.int16)
    voice = SpeakerPrompt("p", "x", np.zeros((8, 1), np.uint16), wave, 2.0, np.array([1, 2], np.float32))
    columns = voice_columns(voice)
    assert columns["prompt_embedding"] == [1.0, 2.0]
    assert columns["prompt_speech_s"] == pytest.approx(1.0, abs=0.041)
    assert voice_columns(replace(voice, embedding=None, waveform=wave[:0])) == {
        "prompt_embedding": None,
        "prompt_speech_s": 0.0,
    }


def test_of_a_ground_truth_the_embedding_is_kept_and_no_model_is_asked_for_more() -> None:
    wave = Waveform(np.full(24_000, 0.1, np.float32), 24_000)
    clips = [ReferenceClip("a", "given", "en", wave), ReferenceClip("g", NO_TRANSCRIPT, "en", wave)]
    voice, truth = encode_prompts(clips, Tone(), Embeds([1.0], [2.0]), Hears())  # type: ignore[arg-type]
    assert isinstance(voice, SpeakerPrompt)
    assert isinstance(truth, SpeakerPrompt)
    assert (voice.codes.shape, truth.codes.shape) == ((8, 25), (0, 0))
    assert (len(voice.waveform), len(truth.waveform)) == (16_000, 0)
    found = {"a": voice, "g": truth}
    columns = voice_lookup(found.__getitem__)
    assert columns({"prompt_id": "a", "ground_truth_id": "g"})["ground_truth_embedding"] == [2.0]
    assert columns({"prompt_id": None, "ground_truth_id": "g"}) == {"ground_truth_embedding": [2.0]}
    assert "ground_truth_embedding" not in columns({"prompt_id": "a"})


def test_a_prompt_is_its_audio_and_its_transcript() -> None:
    sha = "ab" * 32
    assert prompt_id(sha, "x", "en") == prompt_id(sha, "x", "fr")
    assert prompt_id(sha, None, "en") != prompt_id(sha, None, "fr"), "what is heard depends on the language"
    assert len({prompt_id(sha, text, "en") for text in ("x", "y", "", None)}) == 4
