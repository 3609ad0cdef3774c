"""Evaluators by name: `demo:...` the embedded ones, `none`, or a local folder or hub id for transformers.

The quality model is `dnsmos`, whose published weights are in its package, or `none`.

Adapters import their models' packages, so each is imported where it is asked for.
"""

from __future__ import annotations

from pipeline.errors import CheckpointError
from pipeline.evaluators.base import (
    QualityModel,
    QualityScores,
    SpeakerEmbedding,
    SpeakerEncoder,
    Transcriber,
    Transcript,
    is_silent,
)
from pipeline.evaluators.checkpoints import checkpoint_id, package_version

__all__ = [
    "QualityModel",
    "QualityScores",
    "SpeakerEmbedding",
    "SpeakerEncoder",
    "Transcriber",
    "Transcript",
    "is_silent",
    "load_quality_model",
    "load_speaker_encoder",
    "load_transcriber",
    "quality_model_id",
    "speaker_encoder_id",
    "transcriber_id",
]

NONE = "none"
_POCKETSPHINX = "demo:pocketsphinx"
_RESEMBLYZER = "demo:resemblyzer"
_DNSMOS = "dnsmos"


def load_transcriber(spec: str, revision: str | None = None, device: str = "cpu") -> Transcriber | None:
    """The transcriber `spec` names; None for `none`. Anything but `demo:pocketsphinx` is read as Whisper.

    Raises CheckpointError where a package is missing or the checkpoint cannot be loaded.
    """
    if spec == NONE:
        return None
    if spec == _POCKETSPHINX:
        from pipeline.evaluators.pocketsphinx_transcriber import PocketsphinxTranscriber

        return PocketsphinxTranscriber()
    _refuse_unknown_demo(spec, _POCKETSPHINX)
    from pipeline.evaluators.whisper_transcriber import WhisperTranscriber

    return WhisperTranscriber(spec, revision, device)


def load_speaker_encoder(
    spec: str, revision: str | None = None, device: str = "cpu"
) -> SpeakerEncoder | None:
    """The speaker encoder `spec` names; None for `none`. Anything but `demo:resemblyzer` is read as WavLM.

    Raises CheckpointError where a package is missing or the checkpoint cannot be loaded.
    """
    if spec == NONE:
        return None
    if spec == _RESEMBLYZER:
        from pipeline.evaluators.resemblyzer_encoder import ResemblyzerEncoder

        return ResemblyzerEncoder(device)
    _refuse_unknown_demo(spec, _RESEMBLYZER)
    from pipeline.evaluators.wavlm_encoder import WavLMEncoder

    return WavLMEncoder(spec, revision, device)


def load_quality_model(spec: str) -> QualityModel | None:
    """The quality model `spec` names, on the CPU; None for `none`.

    Raises CheckpointError for another name, and where the package is missing.
    """
    if spec == NONE:
        return None
    _refuse_unknown_quality_model(spec)
    from pipeline.evaluators.dnsmos_model import DNSMOSModel

    return DNSMOSModel()


def transcriber_id(spec: str, revision: str | None = None) -> str | None:
    """The `id` of the loaded transcriber; None for a hub id without revision: only loading tells which.

    Raises CheckpointError where a demo package is missing.
    """
    if spec == _POCKETSPHINX:
        return f"{spec}-{package_version('pocketsphinx')}/en-us"
    _refuse_unknown_demo(spec, _POCKETSPHINX)
    return NONE if spec == NONE else checkpoint_id(spec, revision)


def speaker_encoder_id(spec: str, revision: str | None = None) -> str | None:
    """The `id` of the loaded speaker encoder; as `transcriber_id`."""
    if spec == _RESEMBLYZER:
        return f"{spec}-{package_version('Resemblyzer')}"
    _refuse_unknown_demo(spec, _RESEMBLYZER)
    return NONE if spec == NONE else checkpoint_id(spec, revision)


def quality_model_id(spec: str) -> str:
    """The `id` of the loaded quality model. Raises CheckpointError as `load_quality_model` does."""
    if spec == NONE:
        return NONE
    _refuse_unknown_quality_model(spec)
    return f"{spec}-p835/speechmos-{package_version('speechmos', spec, 'quality')}"


def _refuse_unknown_quality_model(spec: str) -> None:
    if spec != _DNSMOS:
        raise CheckpointError(f"{spec}: no such quality model; there is {_DNSMOS}, and {NONE}")


def _refuse_unknown_demo(spec: str, known: str) -> None:
    if spec.startswith("demo:"):
        raise CheckpointError(f"{spec}: no such embedded evaluator; the one for this task is {known}")
