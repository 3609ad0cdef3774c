from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.codecs import codec_info
from pipeline.engine import standin
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.checkpoint import checkpoint_id
from pipeline.engine.standin import byte_tokenizer, standin_folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VOICEMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_built_once_and_whole(cache, monkeypatch):
    folder = standin_folder()
    assert folder.parent == cache
    assert [path.name for path in cache.iterdir()] == [folder.name]
    monkeypatch.setattr(
        standin, "build_random_checkpoint", lambda *_args, **_kwargs: pytest.fail("built twice")
    )
    assert standin_folder() == folder
    assert checkpoint_id("standin").startswith("voicemill-standin-random@")
    info, prompt_format = codec_info("standin"), PromptFormat.load("standin")
    assert info.id.startswith("voicemill-standin-random-codec@")
    assert (info.sample_rate, info.hop_length, info.frame_rate) == (24_000, 960, 25.0)
    assert (info.num_codebooks, info.codebook_size) == (prompt_format.num_codebooks, prompt_format.num_codes)
    assert prompt_format.hears_reference


def test_a_failed_build_leaves_nothing(cache, monkeypatch):
    def fail(folder, **_kwargs):
        (folder / "half").write_text("x")
        raise OSError("disk full")

    monkeypatch.setattr(standin, "build_random_checkpoint", fail)
    with pytest.raises(OSError, match="disk full"):
        standin_folder()
    assert list(cache.iterdir()) == []


def test_processes_race_to_one_folder(cache):
    code = "from pipeline.engine.checkpoint import checkpoint_id; print(checkpoint_id('standin'))"
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ids = {racer.communicate(timeout=200)[0].strip() for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0]
    assert len(ids) == 1
    assert len(list(cache.iterdir())) == 1


def test_loser_of_a_race_takes_the_winners(cache, monkeypatch):
    winner = standin_folder()
    moved = winner.rename(winner.with_name("aside"))

    def build_while_another_finishes(folder, **_kwargs):
        (folder / "config.json").write_text("mine")
        moved.rename(winner)

    monkeypatch.setattr(standin, "build_random_checkpoint", build_while_another_finishes)
    assert standin_folder() == winner
    assert (winner / "config.json").read_text() != "mine"
    assert [path.name for path in cache.iterdir()] == [winner.name]


@pytest.mark.parametrize("text", ["plain", "naïve café", "مرحبا 你好", "tabs\tand\nlines  two"])
def test_byte_tokenizer(text):
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text
    assert tokenizer.get_vocab_size() == 256 + len(standin.SPECIAL_TOKENS)
