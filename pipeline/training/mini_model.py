"""voicemill-mini: the architecture of Higgs Audio v2 at a size that two CPU cores can train.

Every layer has DualFFN, the codes follow the delay pattern, and the semantic pathway is a small Whisper
encoder that reads up to ten seconds of the reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.engine.embedded import MINI_NAME
from pipeline.engine.standin import SPECIAL_TOKENS, save_tokenizer
from pipeline.training.spelling import IPA, RULES_FILE, phone_normalizers, read_rules

NUM_CODES = 1024  # of a codebook; BOS and EOS of the stream follow
_FRAME = (
    r"\Asystem\z",
    r"\Auser\z",
    r"\Aassistant\z",
    r"\A\n\nGenerate speech in the provided voice\.",
    r"\A\n\n",
)
_FRAME_CODES = [chr(0xF000 + i) for i in range(len(_FRAME))]  # private use, as the spelling rules' below it


def mini_tokenizer() -> Any:
    """A `tokenizers.Tokenizer` of phones (see `spelling`), special tokens, and bytes for all else.

    A role that is the whole text, as in a turn's header, is one token; in a sentence it is spelled. So is
    the blank line that begins a turn, with or without our instruction after it. (A user who wants our
    instruction spoken, word for word, gets it as that token.)
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["".join(part for part, _ in level.pre_tokenize_str(c)) for c in (*_FRAME_CODES, *IPA.values())]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys([*alphabet, *pieces]))}
    # with ignore_merges a character in the vocabulary is one token, and any other falls apart into bytes
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    frame = [normalizers.Replace(Regex(p), c) for p, c in zip(_FRAME, _FRAME_CODES, strict=True)]
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex("[\ue000-\uf8ff]"), ""),  # ours alone
            *frame,
            *phone_normalizers(read_rules(RULES_FILE.read_text("utf-8"))),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated"), level]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS])
    return tokenizer


def mini_config(tokenizer: Any, num_codebooks: int) -> Any:
    """The `HiggsAudioV2Config` of voicemill-mini: 6 M parameters and 0.4 M for each codebook."""
    from transformers import HiggsAudioV2Config

    return HiggsAudioV2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=192,
        intermediate_size=640,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=48,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        num_codebooks=num_codebooks,
        codebook_size=NUM_CODES + 2,
        audio_stream_bos_id=NUM_CODES,
        audio_stream_eos_id=NUM_CODES + 1,
        bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"),
        eos_token_id=tokenizer.token_to_id("<|eot_id|>"),
        pad_token_id=tokenizer.token_to_id("<|end_of_text|>"),
        audio_token_id=tokenizer.token_to_id("<|AUDIO_OUT|>"),
        audio_bos_token_id=tokenizer.token_to_id("<|audio_out_bos|>"),
        audio_delay_token_id=tokenizer.token_to_id("<|reserved_special_token_6|>"),
    )


def mini_semantic_config() -> Any:
    """The `WhisperConfig` of the semantic pathway; 500 positions are ten seconds."""
    from transformers import WhisperConfig

    return WhisperConfig(
        d_model=128,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=384,
        num_mel_bins=80,
        max_source_positions=500,
    )


def new_mini_folder(folder: Path, num_codebooks: int, *, note: str | None = None) -> None:
    """Write all of a voicemill-mini checkpoint but its weights and codec: what `PromptFormat` reads."""
    tokenizer = mini_tokenizer()
    config = mini_config(tokenizer, num_codebooks)
    config.architectures = ["HiggsAudioV2ForConditionalGeneration"]
    config.voicemill_name = MINI_NAME
    if note is not None:
        config.voicemill_note = note
    config.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    (folder / "semantic").mkdir(exist_ok=True)
    semantic = mini_semantic_config().to_json_string(use_diff=False)
    (folder / "semantic" / "config.json").write_text(semantic, "utf-8")
