"""Codecs: one protocol, two networks (the Higgs tokenizer, DAC), loaded by what their config says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.codecs.base import Codec, CodecInfo
from pipeline.codecs.dac_codec import CODEC_TYPE, dac_info, load_dac
from pipeline.codecs.higgs import MODEL_TYPE, higgs_info, load_higgs
from pipeline.engine.model_files import locate, read_config
from pipeline.errors import CheckpointError

__all__ = ["Codec", "CodecInfo", "codec_info", "load_codec"]


def load_codec(spec: str, revision: str | None = None, device: str = "cpu", dtype: Any = None) -> Codec:
    """The codec named by `standin`, a local folder or a hub id (which needs a pinned `revision`).

    A folder that holds a model with its codec in `codec/` stands for that codec. `dtype` is a
    torch.dtype, float32 if None. Raises CheckpointError.
    """
    files = locate(spec, revision, subfolder="codec")
    load = load_dac if _kind(files.folder, files.id) == CODEC_TYPE else load_higgs
    return load(files.folder, files.id, device, dtype)


def codec_info(spec: str, revision: str | None = None) -> CodecInfo:
    """A codec's numbers without its weights. Raises CheckpointError."""
    files = locate(spec, revision, subfolder="codec", weights=False)
    info = dac_info if _kind(files.folder, files.id) == CODEC_TYPE else higgs_info
    return info(files.folder, files.id)


def _kind(folder: Path, codec_id: str) -> str:
    config = read_config(folder)
    kind = config.get("codec_type") or config.get("model_type")
    if kind not in (CODEC_TYPE, MODEL_TYPE):
        raise CheckpointError(
            f"{codec_id}: not a codec that voicemill knows: config.json has neither "
            f'"codec_type": "{CODEC_TYPE}" nor "model_type": "{MODEL_TYPE}"'
        )
    return str(kind)
