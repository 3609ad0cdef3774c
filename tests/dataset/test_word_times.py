"""Words are found where they were put: emissions made by hand, and files read by other libraries."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pysubs2
import pytest
import torch
from made_sets import RUN, manifest_rows, some_voices, spoken
from praatio import textgrid as praat

from pipeline.audio import Waveform
from pipeline.dataset.exporters.alignments import Alignments
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.selection import Selection, Utterance
from pipeline.dataset.time_files import ctm, srt, textgrid
from pipeline.dataset.word_times import Alphabet, TimedWord, align, spell
from pipeline.errors import CheckpointError, RowError
from pipeline.evaluators.ctc_model import CtcModel
from pipeline.storage import open_store

BLANK, BAR = 0, 1
CAPITALS = Alphabet({chr(65 + i): 2 + i for i in range(26)} | {"'": 28}, BLANK, BAR)


def emissions(path: str, probability: float = 0.9) -> torch.Tensor:
    """Log probabilities [T x 29]: a character a frame, `-` is the blank, `|` the delimiter."""
    ids = [BLANK if c == "-" else BAR if c == "|" else CAPITALS.ids[c] for c in path]
    rest = (1 - probability) / 28
    frames = torch.full((len(path), 29), math.log(rest))
    frames[torch.arange(len(path)), torch.tensor(ids)] = math.log(probability)
    return frames


def test_words_are_where_they_were_put() -> None:
    #       0    5    10   15   20   (frames of 20 ms)
    path = "---HHELL-LOO--||-TOM----"
    words = spell("Hello, Tom!", "en", CAPITALS)
    timed = align(emissions(path), words, CAPITALS, duration_s=len(path) * 0.02)
    assert [(word.written, word.text) for word in timed] == [("Hello, ", "Hello"), ("Tom!", "Tom")]
    assert [(word.start_s, word.end_s) for word in timed] == [
        (pytest.approx(0.06), pytest.approx(0.24)),
        (pytest.approx(0.34), pytest.approx(0.40)),
    ]
    assert [word.probability for word in timed] == [pytest.approx(0.9, abs=1e-4)] * 2


def test_what_the_model_heard_less_surely_has_less_probability() -> None:
    frames = torch.cat([emissions("AA-", 0.9), emissions("||"), emissions("BBB-", 0.5)])
    timed = align(frames, spell("a b", "en", CAPITALS), CAPITALS, 0.18)
    assert timed[0].probability == pytest.approx(0.9, abs=1e-4)
    assert timed[1].probability == pytest.approx(0.5, abs=1e-4)


def test_a_text_that_does_not_fit_is_told() -> None:
    with pytest.raises(RowError) as caught:
        align(emissions("AA--"), spell("aaa", "en", CAPITALS), CAPITALS, 0.08)  # three and two blanks
    assert caught.value.code == "speech_too_short"
    assert len(align(emissions("A-A-A"), spell("aaa", "en", CAPITALS), CAPITALS, 0.1)) == 1


def test_words_are_spelled_in_the_models_alphabet() -> None:
    words = spell("\u201cIt\u2019s naïve\u201d \u2014 or: 'tis", "en", CAPITALS)
    assert [word.text for word in words] == ["It\u2019s", "naïve", "or", "tis"]
    spelled = ["".join(chr(63 + i) if i < 28 else "'" for i in word.ids) for word in words]
    assert spelled == ["IT'S", "NAIVE", "OR", "'TIS"]
    for text in ("7 seas", "мир", "... !"):
        with pytest.raises(RowError) as caught:
            spell(text, "en", CAPITALS)
        assert caught.value.code == "text_not_in_alphabet"


def test_where_characters_are_the_words_each_is_timed() -> None:
    chinese = Alphabet({"你": 1, "好": 2}, 0)
    words = spell("你好，好。", "zh", chinese)
    assert [word.text for word in words] == ["你", "好", "好"]
    frames = torch.full((6, 3), math.log(0.05))
    frames[torch.arange(6), torch.tensor([1, 1, 2, 0, 2, 0])] = math.log(0.9)
    timed = align(frames, words, chinese, 0.6)
    assert [round(word.start_s, 6) for word in timed] == [0.0, 0.2, 0.4]


# texts, and what is timed in them
WRITTEN = {
    ("zh", "今天天气很好。"): "今 天 天 气 很 好",
    ("zh", "他说：“好！” 我用 A4 纸。"): "他 说 好 我 用 A 4 纸",
    ("ja", "「東京」へ。"): "東 京 へ",
    ("th", "ที่นี่"): "ท น",
    ("ko", "오늘 날씨가, 좋네요."): "오늘 날씨가 좋네요",
    ("en", "He \u2014 or (she) \u2014 said so."): "He or she said so",
}


@pytest.mark.parametrize(("language", "text"), WRITTEN)
def test_a_subtitle_is_the_text_as_it_is_written(language: str, text: str) -> None:
    alphabet = Alphabet({char: i for i, char in enumerate(sorted(set(text)), start=1)}, 0)
    words = spell(text, language, alphabet)
    assert [word.text for word in words] == WRITTEN[language, text].split()
    timed = [TimedWord(word.written, word.text, i / 2, i / 2 + 0.4, 1.0) for i, word in enumerate(words)]
    [cue] = pysubs2.SSAFile.from_string(srt(timed).decode(), format_="srt")
    assert (cue.text, cue.start, cue.end) == (text, 0, 500 * len(words) - 100)


def test_a_line_of_wide_characters_has_half_as_many() -> None:
    """As many as there is room for, and what opens goes with what it opens."""
    text = "好" * 20 + "，「好」" + "好" * 20
    words = spell(text, "zh", Alphabet({"好": 1}, 0))
    timed = [TimedWord(word.written, word.text, i / 2, i / 2 + 0.4, 1.0) for i, word in enumerate(words)]
    cues = pysubs2.SSAFile.from_string(srt(timed).decode(), format_="srt")
    assert [cue.text for cue in cues] == ["好" * 20 + "，", "「好」" + "好" * 18, "好好"]


WORDS = [
    TimedWord("\u201cHello,", "Hello", 0.06, 0.24, 0.9),
    TimedWord('To"m', 'To"m', 0.24, 0.4, 0.5),
    TimedWord("there.", "there", 0.5, 0.9, 0.25),
]


def test_praat_reads_the_textgrid(tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_text(textgrid(WORDS, 1.0), "utf-8")
    read = praat.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=True)
    assert (read.tierNames, read.minTimestamp, read.maxTimestamp) == (("words",), 0, 1)
    assert [tuple(entry) for entry in read.getTier("words").entries] == [
        (0.0, 0.06, ""),
        (0.06, 0.24, "Hello"),
        (0.24, 0.4, 'To"m'),
        (0.4, 0.5, ""),
        (0.5, 0.9, "there"),
        (0.9, 1.0, ""),
    ]


def test_lhotse_reads_the_ctm(tmp_path: Path) -> None:
    from lhotse import SupervisionSegment, SupervisionSet

    (tmp_path / "a.ctm").write_text(ctm("one", WORDS), "utf-8")
    segments = SupervisionSet.from_segments([SupervisionSegment("s", "one", 0.0, 1.0)])
    [aligned] = segments.with_alignment_from_ctm(tmp_path / "a.ctm")
    found = [(item.symbol, item.start, item.duration, item.score) for item in aligned.alignment["word"]]
    assert found == [("Hello", 0.06, 0.18, 0.9), ('To"m', 0.24, 0.16, 0.5), ("there", 0.5, 0.4, 0.25)]


def test_players_read_the_srt() -> None:
    many = [TimedWord(f"word{i:02d} ", f"word{i:02d}", i / 2, i / 2 + 0.4, 1.0) for i in range(10)]
    cues = list(pysubs2.SSAFile.from_string(srt(many).decode(), format_="srt"))
    assert " ".join(cue.text for cue in cues) == " ".join(word.text for word in many)
    assert all(len(cue.text) <= 42 for cue in cues)
    assert [(cue.start, cue.end) for cue in cues] == [(0, 2900), (3000, 4900)]


# ---- a model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Wav2Vec2 with a CTC head at a size for tests, of random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("ctc")
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4}
    vocabulary |= {chr(65 + i): 5 + i for i in range(26)}
    (folder / "raw.json").write_text(json.dumps(vocabulary))
    Wav2Vec2CTCTokenizer(str(folder / "raw.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=16_000).save_pretrained(folder)
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=31,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    (folder / "raw.json").unlink()
    return folder


def test_a_checkpoint_of_transformers_gives_emissions(checkpoint: Path) -> None:
    model = CtcModel(str(checkpoint))
    assert (model.blank, model.delimiter) == (0, 4)
    assert model.characters == {chr(65 + i): 5 + i for i in range(26)}
    clip = Waveform(np.random.default_rng(0).standard_normal(24_000).astype(np.float32) / 10, 24_000)
    log_probs = model.log_probs(clip)
    # 16,000 samples at wav2vec2's stride of 320, less what the kernels overlap
    assert log_probs.shape == (49, 31)
    assert torch.allclose(log_probs.exp().sum(-1), torch.ones(49))
    timed = align(log_probs, spell("a small boat", "en", alphabet(model)), alphabet(model), 1.0)
    assert [word.text for word in timed] == ["a", "small", "boat"]
    times = [time for word in timed for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= 1.0


def alphabet(model: CtcModel) -> Alphabet:
    return Alphabet(model.characters, model.blank, model.delimiter)


def test_what_is_no_ctc_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wav2vec2"}))
    with pytest.raises(CheckpointError, match="not loadable as a CTC checkpoint"):
        CtcModel(str(tmp_path))


def test_every_utterance_gets_its_files(checkpoint: Path, tmp_path: Path) -> None:
    rows = [spoken(i + 1, row, frames=50) for i, row in enumerate(manifest_rows(4, ["Anna"]))]
    rows[2]["target_text"] = "It is 7."
    rows[3] |= {"audio": {"bytes": spoken(9, manifest_rows(1, ["Anna"])[0], frames=3)["audio"]["bytes"]}}
    chosen = Selection(DatasetPlan(hours=1.0), some_voices("Anna"), ["Anna"], RUN)
    exporter = Alignments(open_store(str(tmp_path)), CtcModel(str(checkpoint)))
    for row in rows:
        exporter.add(Utterance("train", chosen.record(row), row["audio"]["bytes"], row))
    exporter.finish()
    assert exporter.left_out == {"text_not_in_alphabet": 1, "speech_too_short": 1}
    kept = [row["utterance_id"] for row in rows[:2]]
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == sorted(
        [*(f"{key}.{suffix}" for key in kept for suffix in ("TextGrid", "srt")), "words-00000.ctm"]
    )
    lines = (tmp_path / "train" / "words-00000.ctm").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [key for key in kept for _ in range(4)]
    for key, row in zip(kept, rows, strict=False):
        tier = praat.openTextgrid(str(tmp_path / "train" / f"{key}.TextGrid"), includeEmptyIntervals=False)
        said = [entry.label for entry in tier.getTier("words").entries]
        assert said == row["target_text"].rstrip(".").split()
