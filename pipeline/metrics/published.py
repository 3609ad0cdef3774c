"""What a run's numbers may stand beside: published rows, and how its evaluators depart from a protocol's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.metrics.protocols import Asr, Protocol, whisper_by_transformers


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A system's figures as its authors give them, as fractions."""

    system: str
    wer: float
    similarity: float
    note: str


PUBLISHED: dict[str, tuple[PublishedRow, ...]] = {
    "seed-tts-eval/en": (
        PublishedRow(
            "Higgs Audio v2",
            0.0244,
            0.6770,
            "unlabelled in its source; believed test-en, since its Qwen2.5-Omni row is that of test-en",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class HeardBy:
    """What a run was scored with: evaluator ids as in its `run.json`, and the transcriber's device."""

    transcriber: str
    speaker_encoder: str
    transcriber_device: str = "cpu"

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> HeardBy:
        device = (identity.get("evaluator_devices") or "cpu").split(",")[0].strip()
        return cls(identity["transcriber"], identity["speaker_encoder"], device)

    def asr(self, language: str) -> Asr:
        """What our transcriber does, in the terms of protocols."""
        model = model_of(self.transcriber)
        if model.startswith("demo:"):
            return Asr(model, model.removeprefix("demo:"), "float32", "voicemill")
        batch = "1" if self.transcriber_device == "cpu" else "several, each padded to the window"
        return whisper_by_transformers(
            model, language, "voicemill", batch=batch, over_30_s="window by window", silence="not transcribed"
        )


def model_of(evaluator_id: str) -> str:
    """The name without version or revision: `demo:pocketsphinx` of `demo:pocketsphinx-5.1.1/en-us`."""
    if evaluator_id.startswith("demo:"):
        return evaluator_id.partition("-")[0]
    return evaluator_id.partition("@")[0]


def departures(protocol: Protocol, heard_by: HeardBy) -> list[str]:
    """Everything about the run's evaluators that is not the protocol's, a line each; empty if nothing."""
    theirs, ours = protocol.asr, heard_by.asr(protocol.language)
    pairs: list[tuple[str, str | None, str | None]] = [
        (f"ASR {name}", getattr(theirs, name), getattr(ours, name))
        for name in ("model", "engine", "dtype", "resampler", "after")
    ]
    if ours.model == theirs.model:
        # options of another model's decoder say nothing about this one's
        known, used = dict(theirs.decode), dict(ours.decode)
        pairs += [(f"ASR {name}", known.get(name), used.get(name)) for name in dict.fromkeys([*known, *used])]
    if protocol.speaker_model is not None:
        pairs.append(("speaker model", protocol.speaker_model, model_of(heard_by.speaker_encoder)))
    found = [
        f"{what}: {protocol.name} has {known or 'none'}, this run {used or 'none'}"
        for what, known, used in pairs
        if known != used
    ]
    if ours.model == theirs.model:
        revision = heard_by.transcriber.removeprefix(ours.model)[1:] or "unknown"
        found.append(f"ASR revision: {protocol.name} names none, this run has {revision}")
    return found


@dataclass(frozen=True, slots=True)
class Beside:
    """A published row, each figure None where ours may not stand beside it, and why."""

    system: str
    wer: float | None
    similarity: float | None
    note: str
    withheld: list[str]


def beside(protocol: Protocol, heard_by: HeardBy) -> list[Beside]:
    """The published rows of a protocol; a figure is withheld unless the protocol's own model made ours."""
    ours = heard_by.asr(protocol.language).model
    same_asr = protocol.published and ours == protocol.asr.model
    speaker = model_of(heard_by.speaker_encoder)
    same_speaker = protocol.published and speaker == protocol.speaker_model
    rows = []
    for row in PUBLISHED.get(protocol.name, ()):
        withheld = []
        if not same_asr:
            withheld.append(f"WER: ours is heard by {heard_by.transcriber}, not by {protocol.asr.model}")
        if not same_speaker:
            withheld.append(f"SIM: ours is by {heard_by.speaker_encoder}, not by {protocol.speaker_model}")
        rows.append(
            Beside(
                row.system,
                row.wer if same_asr else None,
                row.similarity if same_speaker else None,
                row.note,
                withheld,
            )
        )
    return rows
