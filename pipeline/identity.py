"""What a run is made with: everything that changes its results, names resolved to revisions.

Loads no weights and no torch, so that a run made otherwise is told at once; only `check_parts` does.
"""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from typing import Any

from pipeline import __version__
from pipeline.config import RunConfig
from pipeline.engine.base import ENGINE_ID
from pipeline.engine.model_files import locate
from pipeline.errors import CheckpointError, ConfigError
from pipeline.evaluators import quality_model_id, speaker_encoder_id, transcriber_id
from pipeline.watermark import watermark_id

# a new version of any of these may round or sample differently
_PINNED = (
    "torch",
    "torchaudio",
    "transformers",
    "descript-audio-codec",
    "pocketsphinx",
    "resemblyzer",
    "jiwer",
    "resemble-perth",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that changes a run's results, names resolved to revisions."""

    task: str  # speak | score
    model: str
    codec: str
    engine: str
    device: str
    evaluator_devices: str  # transcriber, speaker encoder
    transcriber: str
    speaker_encoder: str
    quality_model: str
    settings: dict[str, Any]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def resolve_identity(task: str, config: RunConfig) -> Identity:
    """Names to revisions, from files alone; what `auto` makes of the devices only the cluster knows.

    Raises CheckpointError, ConfigError.
    """
    model, evaluation = config.model, config.evaluation
    model_id = codec_id = engine = "none"
    if task == "speak":
        model_id = locate(model.checkpoint, model.revision, weights=False).id
        codec_id = locate(model.codec_spec, model.codec_pin, subfolder="codec", weights=False).id
        engine = ENGINE_ID
        watermark_id(config.output.watermark)  # told now, not by a worker
    return Identity(
        task=task,
        model=model_id,
        codec=codec_id,
        engine=engine,
        device=model.device,
        evaluator_devices="",
        transcriber=_pinned(
            "transcriber",
            transcriber_id(evaluation.transcriber, evaluation.transcriber_revision),
            evaluation.transcriber_revision,
        ),
        speaker_encoder=_pinned(
            "speaker_encoder",
            speaker_encoder_id(evaluation.speaker_encoder, evaluation.speaker_encoder_revision),
            evaluation.speaker_encoder_revision,
        ),
        quality_model=quality_model_id(evaluation.quality_model),
        settings=settings_of(config),
        versions=pinned_versions(),
    )


def check_parts(config: RunConfig) -> None:
    """Raises CheckpointError for a model and a codec that do not fit together, before Ray is started."""
    from pipeline.codecs import codec_info
    from pipeline.engine.chat_prompt import PromptFormat

    model = config.model
    prompts = PromptFormat.load(
        model.checkpoint,
        model.revision,
        style=model.prompt_style,
        semantic=model.semantic,
        max_positions=model.max_positions,
    )
    codec = codec_info(model.codec_spec, model.codec_pin)
    if (codec.num_codebooks, codec.codebook_size) != (prompts.num_codebooks, prompts.num_codes):
        raise CheckpointError(
            f"{prompts.id} speaks {prompts.num_codebooks} codebooks of {prompts.num_codes}, "
            f"{codec.id} has {codec.num_codebooks} of {codec.codebook_size}: set model.codec to its own"
        )


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The settings that change results. Names of models are left out: their ids stand for them."""
    settings = config.to_dict()
    del settings["resources"], settings["evaluation"], settings["output"]["audio_files"]
    for name in ("checkpoint", "revision", "codec", "codec_revision", "device"):
        del settings["model"][name]
    return settings


def pinned_versions() -> dict[str, str]:
    versions = {"voicemill": __version__}
    for name in _PINNED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def _pinned(name: str, evaluator: str | None, revision: str | None) -> str:
    if evaluator is None or (revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision)):
        raise ConfigError(
            f"evaluation.{name} is a hub id: pin it with evaluation.{name}_revision=<40-digit commit>, "
            "since a branch or tag can move"
        )
    return evaluator
