"""Codecs: one protocol, three networks (the Higgs tokenizer, DAC, ours), loaded by what their config says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.codecs.base import Codec, CodecInfo
from pipeline.codecs.dac_codec import CODEC_TYPE, dac_info, load_dac
from pipeline.codecs.frame_codec import FRAME_TYPE, frame_info, load_frame_codec
from pipeline.codecs.higgs import MODEL_TYPE, higgs_info, load_higgs
from pipeline.engine.model_files import locate, read_config
from pipeline.errors import CheckpointError

_CODECS = {
    CODEC_TYPE: (dac_info, load_dac),
    FRAME_TYPE: (frame_info, load_frame_codec),
    MODEL_TYPE: (higgs_info, load_higgs),
}

__all__ = ["Codec", "CodecInfo", "codec_info", "load_codec"]


def load_codec(
    spec: str,
    revision: str | None = None,
    device: str = "cpu",
    dtype: Any = None,
    *,
    known_id: str | None = None,
) -> Codec:
    """The codec named by `mini`, `standin`, a local folder or a hub id (which needs a pinned `revision`).

    A folder that holds a model with its codec in `codec/` stands for that codec. `dtype` is a
    torch.dtype, float32 if None; `known_id`: see `locate`. Raises CheckpointError.
    """
    files = locate(spec, revision, subfolder="codec", known_id=known_id)
    _, load = _CODECS[_kind(files.folder, files.id)]
    return load(files.folder, files.id, device, dtype)


def codec_info(spec: str, revision: str | None = None, *, known_id: str | None = None) -> CodecInfo:
    """A codec's numbers without its weights; `known_id`: see `locate`. Raises CheckpointError."""
    files = locate(spec, revision, subfolder="codec", weights=False, known_id=known_id)
    info, _ = _CODECS[_kind(files.folder, files.id)]
    return info(files.folder, files.id)


def _kind(folder: Path, codec_id: str) -> str:
    config = read_config(folder)
    kind = config.get("codec_type") or config.get("model_type")
    if kind not in _CODECS:
        raise CheckpointError(
            f"{codec_id}: not a codec that voicemill knows: config.json has neither "
            f'"codec_type": "{CODEC_TYPE}" or "{FRAME_TYPE}" nor "model_type": "{MODEL_TYPE}"'
        )
    return str(kind)
