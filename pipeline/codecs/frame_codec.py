"""The frame-rate codec as a folder: `config.json` with `"codec_type": "frame"`, and `model.safetensors`.

Light enough for a laptop to train and run; what voicemill-mini speaks through.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.codecs.base import CodecInfo, TorchCodec
from pipeline.codecs.frame_config import FrameCodecConfig
from pipeline.engine.model_files import read_config
from pipeline.errors import CheckpointError

if TYPE_CHECKING:
    from pipeline.codecs.frame_network import FrameCodec

FRAME_TYPE = "frame"
_NOT_NETWORK = ("codec_type", "voicemill_name")


def frame_info(folder: Path, codec_id: str) -> CodecInfo:
    """The numbers in `config.json`. Raises CheckpointError."""
    config = _network_config(folder, codec_id)
    return CodecInfo(
        id=codec_id,
        sample_rate=config.sample_rate,
        hop_length=config.hop_length,
        num_codebooks=config.n_codebooks,
        codebook_size=config.codebook_size,
    )


def load_frame_codec(folder: Path, codec_id: str, device: str, dtype: Any) -> TorchCodec:
    """The codec of a folder that `save_frame_codec` wrote. Raises CheckpointError."""
    import torch

    dtype = torch.float32 if dtype is None else dtype
    model = load_frame_network(folder, codec_id).to(device, dtype)
    return TorchCodec(
        frame_info(folder, codec_id),
        encode_batch=lambda audio: model.encode(audio).codes,
        decode_batch=lambda codes: model.decode(model.quantizer.from_codes(codes)),
        device=torch.device(device),
        dtype=dtype,
    )


def load_frame_network(folder: Path, codec_id: str) -> FrameCodec:
    """The network itself, in eval mode and float32. Raises CheckpointError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from pipeline.codecs.frame_network import FrameCodec

    try:
        model = FrameCodec(_network_config(folder, codec_id))
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{codec_id}: cannot load the codec: {error}") from error
    return model.eval()


def save_frame_codec(
    model: FrameCodec, folder: Path, name: str | None = None, num_codebooks: int | None = None
) -> None:
    """Write a folder that `load_frame_codec` reads, with the first `num_codebooks` only if given.

    Codes of a shorter codec are the first rows of the longer one's. `name` becomes the codec's name.
    """
    from safetensors.torch import save_file

    config: dict[str, Any] = {"codec_type": FRAME_TYPE}
    if name is not None:
        config["voicemill_name"] = name
    config |= asdict(model.config)
    kept = config["n_codebooks"] = num_codebooks or model.config.n_codebooks
    weights = {
        key: value.detach().cpu().contiguous()
        for key, value in model.state_dict().items()
        if not _is_beyond(key, kept)
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _is_beyond(key: str, num_codebooks: int) -> bool:
    parts = key.split(".")
    return parts[:2] == ["quantizer", "quantizers"] and int(parts[2]) >= num_codebooks


def _network_config(folder: Path, codec_id: str) -> FrameCodecConfig:
    config: dict[str, Any] = {
        # JSON has no tuples
        key: tuple(value) if isinstance(value, list) else value
        for key, value in read_config(folder).items()
        if key not in _NOT_NETWORK
    }
    if unknown := sorted(config.keys() - {field.name for field in fields(FrameCodecConfig)}):
        raise CheckpointError(f"{codec_id}: config.json of the codec has an unknown key {unknown[0]!r}")
    return FrameCodecConfig(**config)
