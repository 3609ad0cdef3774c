"""A small random checkpoint that stands in until a trained one exists.

Same architecture, file formats and loaders as the real one: a language model with DualFFN, a tokenizer,
the semantic pathway and a DAC codec, all from one seed. It speaks noise, and its id says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.engine.embedded import NOTES
from pipeline.engine.embedded import STANDIN_NAME as NAME

_SEED = 20_250_804
_RECIPE = 1  # count up when anything below changes what is built

SPECIAL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|audio_out_bos|>",
    "<|reserved_special_token_6|>",
    "<|AUDIO|>",
    "<|AUDIO_OUT|>",
    "<|recipient|>",
    "<|scene_desc_start|>",
    "<|scene_desc_end|>",
    "<|generation_instruction_start|>",
    "<|generation_instruction_end|>",
    "<SE>",
    "</SE>",
    "<SE_s>",
    "</SE_s>",
    "<SE_e>",
    "</SE_e>",
)


def standin_folder() -> Path:
    """The stand-in's folder, built on first use under `$VOICEMILL_CACHE` (default `~/.cache/voicemill`).

    Built aside and renamed into place, so that of several processes one wins and none sees half of it.
    """
    cache = Path(os.environ.get("VOICEMILL_CACHE") or Path.home() / ".cache" / "voicemill")
    # other versions may draw other weights or write other configs
    made_by = f"{_RECIPE} {version('torch')} {version('transformers')}"
    key = hashlib.sha256(made_by.encode()).hexdigest()[:8]
    folder = cache / f"{NAME}-{key}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".standin-", dir=cache))
    try:
        build_random_checkpoint(building, seed=_SEED, name=NAME, note=NOTES[NAME])
        building.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def build_random_checkpoint(
    folder: Path, *, seed: int, name: str, note: str, num_codebooks: int = 8, hidden_size: int = 128
) -> None:
    """Write a random checkpoint with its codec (in `codec/`) and semantic pathway (in `semantic/`)."""
    import torch
    from transformers import HiggsAudioV2ForConditionalGeneration, WhisperConfig
    from transformers.utils import logging as bars

    from pipeline.codecs.dac_codec import new_dac, save_dac
    from pipeline.engine.semantic import SemanticPathway

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        tokenizer = byte_tokenizer()
        model = HiggsAudioV2ForConditionalGeneration(_model_config(tokenizer, num_codebooks, hidden_size))
        whisper = WhisperConfig(
            d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=64, num_mel_bins=80
        )
        semantic = SemanticPathway(whisper, hidden_size)
        codec = new_dac(
            encoder_dim=8,
            encoder_rates=[4, 4, 6, 10],  # even: DAC's decoder loses a sample at an odd stride
            decoder_dim=128,
            decoder_rates=[10, 6, 4, 4],
            n_codebooks=num_codebooks,
            sample_rate=24_000,
        )
    model.config.voicemill_name = name
    model.config.voicemill_note = note
    bars.disable_progress_bar()
    model.save_pretrained(folder)
    bars.enable_progress_bar()
    save_tokenizer(tokenizer, folder)
    semantic.save(folder / "semantic")
    save_dac(codec, folder / "codec", name=f"{name}-codec")


_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|begin_of_text|>",
    "eos_token": "<|eot_id|>",
    "pad_token": "<|end_of_text|>",
}


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a `tokenizers.Tokenizer` with SPECIAL_TOKENS as a checkpoint's files."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER_CONFIG, indent=2) + "\n", "utf-8")


def byte_tokenizer() -> Any:
    """A `tokenizers.Tokenizer` with a token per byte and the special tokens of Higgs Audio v2 after them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    return tokenizer


def _model_config(tokenizer: Any, num_codebooks: int, hidden_size: int) -> Any:
    from transformers import HiggsAudioV2Config

    heads = 4
    return HiggsAudioV2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=3,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        head_dim=hidden_size // heads,
        max_position_embeddings=4096,
        num_codebooks=num_codebooks,
        codebook_size=1026,
        audio_stream_bos_id=1024,
        audio_stream_eos_id=1025,
        bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"),
        eos_token_id=tokenizer.token_to_id("<|eot_id|>"),
        pad_token_id=tokenizer.token_to_id("<|end_of_text|>"),
        audio_token_id=tokenizer.token_to_id("<|AUDIO_OUT|>"),
        audio_bos_token_id=tokenizer.token_to_id("<|audio_out_bos|>"),
        audio_delay_token_id=tokenizer.token_to_id("<|reserved_special_token_6|>"),
    )
