"""Small random checkpoints in the layout that `save_pretrained` writes, and the repository's voices."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.audio import Waveform, decode_audio

VOICES = Path(__file__).parents[2] / "manifests" / "voices"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def voices() -> dict[str, tuple[Waveform, str]]:
    """File name -> (speech, what was said)."""
    with (VOICES / "voices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["file"]: (decode_audio((VOICES / row["file"]).read_bytes()), row["text"]) for row in rows}


@pytest.fixture(scope="session")
def tone() -> Callable[..., Waveform]:
    """A tone with some noise, four syllables a second: two frequencies are two different clips."""

    def make(seconds: float, hertz: float = 220.0, sample_rate: int = 16_000) -> Waveform:
        time = np.arange(round(seconds * sample_rate)) / sample_rate
        noise = np.random.default_rng(round(hertz)).standard_normal(len(time))
        sound = 0.3 * np.sin(2 * np.pi * hertz * time) + 0.05 * noise
        syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4.0 * time)
        return Waveform((syllables * sound).astype(np.float32), sample_rate)

    return make


SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|ar|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory) -> Path:
    """A Whisper with a window of one second (50 encoder positions) that writes up to 24 tokens."""
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    folder = tmp_path_factory.mktemp("whisper") / "tiny-whisper"
    tokenizer = WhisperTokenizer(vocab={c: i for i, c in enumerate(bytes_to_unicode().values())}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.add_tokens([f"<|{i * 0.02:.2f}|>" for i in range(51)])  # 0 to 1 s
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer),
            num_mel_bins=20,
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_source_positions=50,
            max_target_positions=24,
            init_std=0.4,
            pad_token_id=ids["<|endoftext|>"],
            bos_token_id=ids["<|endoftext|>"],
            eos_token_id=ids["<|endoftext|>"],
            decoder_start_token_id=ids["<|startoftranscript|>"],
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )
    with torch.no_grad():  # like a real one, it does not write timestamps unless the decoding rules make it
        model.get_input_embeddings().weight[ids["<|notimestamps|>"] + 1 :] *= 0.01
    model.generation_config = GenerationConfig(
        is_multilingual=True,
        lang_to_id={token: ids[token] for token in ("<|en|>", "<|ar|>")},
        task_to_id={task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"],
        eos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"],
        max_length=24,
        max_initial_timestamp_index=50,
    )
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=20, chunk_length=1), tokenizer).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def wavlm_folder(tmp_path_factory) -> Path:
    """A WavLM x-vector model with group norm, the kind that padding harms most."""
    return save_wavlm(
        tmp_path_factory.mktemp("wavlm") / "tiny-wavlm", normalize=False, feat_extract_norm="group"
    )


@pytest.fixture(scope="session")
def layer_norm_wavlm_folder(tmp_path_factory) -> Path:
    """The same in the form of the large checkpoints, which normalise clip, features and layers alike."""
    return save_wavlm(
        tmp_path_factory.mktemp("wavlm") / "tiny-wavlm-layer",
        normalize=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
    )


def save_wavlm(folder: Path, *, normalize: bool, **form) -> Path:
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    torch.manual_seed(0)
    model = WavLMForXVector(
        WavLMConfig(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            conv_dim=(16, 16, 16, 16, 16, 16, 16),
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            tdnn_dim=(32, 32, 32, 32, 64),
            xvector_output_dim=48,
            use_weighted_layer_sum=True,
            initializer_range=0.3,
            **form,
        )
    )
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=normalize, return_attention_mask=normalize).save_pretrained(folder)
    return folder
