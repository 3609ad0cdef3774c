"""Against a greedy loop written out here over the same small random checkpoint."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from pipeline.audio import Waveform
from pipeline.errors import CheckpointError
from pipeline.evaluators import load_transcriber, transcriber_id
from pipeline.evaluators.whisper_transcriber import WhisperTranscriber, _GreedyLogprobs
from pipeline.metrics.published import HeardBy


@pytest.fixture(scope="module")
def transcriber(whisper_folder):
    return load_transcriber(str(whisper_folder))


@pytest.fixture(scope="module")
def english_only_folder(whisper_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("english") / "tiny-whisper.en"
    shutil.copytree(whisper_folder, folder)
    config = json.loads((folder / "generation_config.json").read_text())
    config["is_multilingual"] = False
    del config["lang_to_id"], config["task_to_id"]
    (folder / "generation_config.json").write_text(json.dumps(config))
    return folder


def greedy_text(folder, waveform, prompt):
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    features = WhisperFeatureExtractor(feature_size=20, chunk_length=1)(
        waveform.samples, sampling_rate=16_000, return_tensors="pt"
    ).input_features
    ids = [tokenizer.convert_tokens_to_ids(token) for token in prompt]
    end, written = tokenizer.convert_tokens_to_ids("<|endoftext|>"), []
    with torch.no_grad():
        while len(ids) + len(written) < 24:  # max_target_positions
            logits = model(input_features=features, decoder_input_ids=torch.tensor([ids + written])).logits
            written.append(int(logits[0, -1].argmax()))
            if written[-1] == end:
                break
    return tokenizer.decode(written, skip_special_tokens=True).strip()


@pytest.mark.parametrize(("language", "token"), [("en", "<|en|>"), ("ar-EG", "<|ar|>")])
def test_is_greedy_with_the_language_told(transcriber, whisper_folder, tone, language, token):
    clip = tone(0.8)
    prompt = ["<|startoftranscript|>", token, "<|transcribe|>", "<|notimestamps|>"]
    expected = greedy_text(whisper_folder, clip, prompt)
    assert expected
    assert transcriber.transcribe([clip], [language])[0].text == expected


def test_it_decodes_as_results_say_it_does(transcriber, tone, monkeypatch):
    """`transcriber_dtype` and `transcriber_decoding` of result rows are made from this."""
    asr = HeardBy(transcriber.id, "none").asr("en")
    assert f"torch.{asr.dtype}" == str(transcriber._model.dtype)
    asked = {}
    generate = transcriber._model.generate
    monkeypatch.setattr(transcriber._model, "generate", lambda **how: asked.update(how) or generate(**how))
    transcriber.transcribe([tone(0.8)], ["en"])
    told = dict(asr.decode)
    assert (asked["num_beams"], asked["do_sample"]) == (int(told["num_beams"]), told["do_sample"] == "true")
    assert (asked["language"], asked["task"]) == ([TO_LANGUAGE_CODE[told["language"]]], told["task"])
    assert str(len(asked["input_features"])) == told["batch"]


def test_english_only_checkpoints_are_told_nothing(english_only_folder, tone):
    transcriber = load_transcriber(str(english_only_folder))
    clip = tone(0.8)
    english, arabic = transcriber.transcribe([clip, clip], ["en-GB", "ar"])
    assert english.text == greedy_text(
        english_only_folder, clip, ["<|startoftranscript|>", "<|notimestamps|>"]
    )
    assert arabic.text is None
    assert "does not know the language ar" in arabic.unscored_reason


def test_without_language_tokens_nothing_is_guessed(whisper_folder, tmp_path):
    folder = tmp_path / "fine-tuned"
    shutil.copytree(whisper_folder, folder)
    (folder / "generation_config.json").unlink()
    with pytest.raises(CheckpointError, match="lang_to_id"):
        load_transcriber(str(folder))


def test_text_does_not_depend_on_batch_mates(transcriber, tone):
    clips = [tone(0.8), tone(2.7, 330.0), tone(0.5, 440.0)]
    together = transcriber.transcribe(clips, ["en", "ar", "en"])
    alone = [
        transcriber.transcribe([clip], [lang])[0]
        for clip, lang in zip(clips, ["en", "ar", "en"], strict=True)
    ]
    assert together == alone


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_batch_is_its_clips_one_at_a_time(whisper_folder, tone, device):
    clips = [tone(0.4 + 0.09 * i, 200.0 + 70.0 * i) for i in range(7)]
    clips.insert(2, tone(2.7, 330.0))  # long form
    clips.insert(5, Waveform(np.zeros(16_000, np.float32), 16_000))
    languages = ["en", "ar", "en", "fr", "ar", "en", "ar", "en", "en"]
    alone, together = (
        WhisperTranscriber(str(whisper_folder), device=device, batch_clips=n).transcribe(clips, languages)
        for n in (1, 4)
    )
    assert len({one.text for one in alone}) > 5
    for one, other in zip(alone, together, strict=True):
        assert (one.text, one.unscored_reason, one.language) == (
            other.text,
            other.unscored_reason,
            other.language,
        )
        for name in ("language_probability", "no_speech_probability", "avg_logprob"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-4)


def transformers_facts(folder, clip, code):
    """Language, its probability, that of no speech and the mean log-probability, the way transformers has
    them: the full prompt's logits, `detect_language`, and the scores that `generate` gives back."""
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    features = WhisperFeatureExtractor(feature_size=20, chunk_length=1)(
        clip.samples, sampling_rate=16_000, return_tensors="pt"
    ).input_features
    prompt = ["<|startoftranscript|>", f"<|{code}|>", "<|transcribe|>", "<|notimestamps|>"]
    ids = torch.tensor([[tokenizer.convert_tokens_to_ids(token) for token in prompt]])
    with torch.no_grad():
        first = model(input_features=features, decoder_input_ids=ids).logits[0, 0]
        made = model.generate(
            features, language=code, task="transcribe", return_dict_in_generate=True, output_scores=True
        )
    english, arabic, silence = (
        first[tokenizer.convert_tokens_to_ids(token)].item() for token in ("<|en|>", "<|ar|>", "<|nospeech|>")
    )
    detected = tokenizer.convert_ids_to_tokens(int(model.detect_language(features))).strip("<|>")
    tokens = made.sequences[0]
    likely = 1 / (1 + np.exp(-abs(english - arabic)))  # a softmax of two
    no_speech = np.exp(silence - np.logaddexp.reduce(first.double().numpy()))
    return (
        detected,
        likely,
        no_speech,
        float(model._retrieve_avg_logprobs([step[0] for step in made.scores], tokens, 0.0)),
    )


@pytest.mark.parametrize("hertz", [220.0, 330.0, 440.0, 550.0, 660.0, 770.0])
def test_facts_are_transformers_own(transcriber, whisper_folder, tone, hertz):
    clip = tone(0.8, hertz)
    (heard,) = transcriber.transcribe([clip], ["ar"])
    language, likely, no_speech, logprob = transformers_facts(whisper_folder, clip, "ar")
    assert heard.language == language
    assert heard.language_probability == pytest.approx(likely, rel=1e-4)
    assert heard.no_speech_probability == pytest.approx(no_speech, rel=1e-4)
    assert heard.avg_logprob == pytest.approx(logprob, rel=1e-4)


def test_the_end_token_ends_the_mean(transcriber):
    """Two clips of one batch; the first ends at its second token. By hand, log-probabilities ln 1/2 ..."""
    end = transcriber._model.generation_config.eos_token_id
    watch = _GreedyLogprobs(end)
    likely = [[(1, 0.5), (2, 0.8)], [(end, 0.25), (3, 0.5)], [(4, 0.9), (end, 0.4)]]
    for step in likely:
        scores = torch.full((2, end + 1), -torch.inf)
        for row, (token, probability) in enumerate(step):
            scores[row] = np.log((1 - probability) / end)
            scores[row, token] = np.log(probability)
        assert watch(torch.zeros(2, 1), scores) is scores
    expected = [np.log([0.5, 0.25]).mean(), np.log([0.8, 0.5, 0.4]).mean()]
    assert watch.averages() == pytest.approx(expected, rel=1e-5)


def test_english_only_checkpoints_detect_nothing(english_only_folder, tone):
    (heard,) = load_transcriber(str(english_only_folder)).transcribe([tone(0.8)], ["en"])
    assert (heard.language, heard.language_probability) == (None, None)
    assert 0 < heard.no_speech_probability < 1
    assert heard.avg_logprob < 0


def test_the_tail_of_a_long_clip_is_heard(transcriber, tone):
    # the tails are quieter, so that Whisper's scaling by the loudest mel bin is the same in both
    head = tone(1.3).samples
    tails = [0.1 * tone(1.0, hertz).samples for hertz in (330.0, 440.0)]
    clips = [Waveform(np.concatenate([head, tail]), 16_000) for tail in tails]
    first, second = transcriber.transcribe(clips, ["en", "en"])
    assert first.text != second.text


def test_silence_is_not_shown_to_whisper(transcriber):
    (transcript,) = transcriber.transcribe([Waveform(np.zeros(16_000, np.float32), 16_000)], ["en"])
    assert (transcript.text, transcript.unscored_reason) == ("", "silent: under -70 dBFS")
    assert transcript.language is None


def test_unknown_languages_stay_unscored(transcriber, tone):
    (transcript,) = transcriber.transcribe([tone(0.8)], ["fr"])
    assert transcript.text is None
    assert "fr" in transcript.unscored_reason


def test_id_is_folder_name_and_content_hash(transcriber, whisper_folder):
    assert transcriber.id == transcriber_id(str(whisper_folder))
    name, _, digest = transcriber.id.partition("@")
    assert (name, len(digest)) == ("tiny-whisper", 12)
