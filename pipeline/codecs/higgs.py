"""The Higgs Audio v2 tokenizer as transformers has it (`HiggsAudioV2TokenizerModel`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.codecs.base import CodecInfo, TorchCodec
from pipeline.engine.model_files import read_config
from pipeline.errors import CheckpointError

MODEL_TYPE = "higgs_audio_v2_tokenizer"


def higgs_info(folder: Path, codec_id: str) -> CodecInfo:
    """The numbers in `config.json`. The number of codebooks is what the largest bandwidth pays for."""
    from transformers import HiggsAudioV2TokenizerConfig

    config = HiggsAudioV2TokenizerConfig.from_dict(read_config(folder))
    return CodecInfo(
        id=codec_id,
        sample_rate=config.sample_rate,
        hop_length=config.hop_length,
        num_codebooks=config.num_quantizers,
        codebook_size=config.codebook_size,
    )


def load_higgs(folder: Path, codec_id: str, device: str, dtype: Any) -> TorchCodec:
    """The codec of a folder with `config.json` and safetensors weights.

    Raises CheckpointError if weights are missing: transformers would fill them in at random.
    """
    import torch
    from transformers import HiggsAudioV2TokenizerModel

    dtype = torch.float32 if dtype is None else dtype
    try:
        model, loading = HiggsAudioV2TokenizerModel.from_pretrained(
            folder, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{codec_id}: cannot load the codec: {error}") from error
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        raise CheckpointError(f"{codec_id}: {len(missing)} codec weights are missing, such as {missing[0]}")
    model = model.to(device).eval()
    return TorchCodec(
        higgs_info(folder, codec_id),
        encode_batch=lambda audio: model.encode(audio, return_dict=False),
        decode_batch=lambda codes: model.decode(codes, return_dict=False),
        device=torch.device(device),
        dtype=dtype,
    )
