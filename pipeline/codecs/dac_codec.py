"""Descript Audio Codec: a folder with `config.json` and `model.safetensors`, read by `descript-audio-codec`.

`config.json` is `{"codec_type": "dac", ...keyword arguments of dac.DAC}`, with an optional
`voicemill_name`. The encoder's rates multiply to the hop: 960 samples at 24 kHz is 25 frames a second.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

from pipeline.codecs.base import CodecInfo, TorchCodec
from pipeline.engine.model_files import read_config
from pipeline.errors import CheckpointError

CODEC_TYPE = "dac"
_NOT_DAC_ARGUMENTS = ("codec_type", "voicemill_name")
_ARGUMENTS = (
    "encoder_dim",
    "encoder_rates",
    "latent_dim",
    "decoder_dim",
    "decoder_rates",
    "sample_rate",
    "n_codebooks",
    "codebook_size",
    "codebook_dim",
)


def dac_info(folder: Path, codec_id: str) -> CodecInfo:
    config = _read_config(folder)
    try:
        return CodecInfo(
            id=codec_id,
            sample_rate=config["sample_rate"],
            hop_length=math.prod(config["encoder_rates"]),
            num_codebooks=config["n_codebooks"],
            codebook_size=config["codebook_size"],
        )
    except KeyError as error:
        raise CheckpointError(f"{codec_id}: config.json of the codec lacks {error}") from error


def load_dac(folder: Path, codec_id: str, device: str, dtype: Any) -> TorchCodec:
    """The codec of a folder that `save_dac` wrote. Raises CheckpointError."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    dtype = torch.float32 if dtype is None else dtype
    info = dac_info(folder, codec_id)
    try:
        model = new_dac(**_read_config(folder))
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, RuntimeError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{codec_id}: cannot load the codec: {error}") from error
    model = model.to(device, dtype).eval()
    return TorchCodec(
        info,
        encode_batch=lambda audio: model.encode(audio)[1],
        decode_batch=lambda codes: model.decode(model.quantizer.from_codes(codes)[0]),
        device=torch.device(device),
        dtype=dtype,
    )


def save_dac(model: Any, folder: Path, name: str | None = None) -> None:
    """Write a `dac.DAC` module as a folder that `load_dac` reads; `name` becomes the codec's name."""
    from safetensors.torch import save_file

    config: dict[str, Any] = {"codec_type": CODEC_TYPE}
    if name is not None:
        config["voicemill_name"] = name
    config |= {argument: getattr(model, argument) for argument in _ARGUMENTS}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def new_dac(**arguments: Any) -> Any:
    """A `dac.DAC`. Raises CheckpointError with the pip command where the package is not installed."""
    try:
        from dac import DAC
    except ImportError as error:
        raise CheckpointError(
            "this codec needs descript-audio-codec: pip install descript-audio-codec==1.0.0 && "
            "pip install 'protobuf>=5' (the first brings a protobuf too old for ray)"
        ) from error
    with warnings.catch_warnings():
        # torch would have it use another weight_norm; its weights are named after this one
        warnings.simplefilter("ignore", FutureWarning)
        return DAC(**arguments)


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    return {key: value for key, value in config.items() if key not in _NOT_DAC_ARGUMENTS}
