"""Whether what a model says may train other models: by the licence of its checkpoint, as far as that is told.
And whether a data set's licence is more open than that of a voice, among Creative Commons' own.

The released Higgs Audio v2 weights are under Boson's community licence, which forbids to improve other large
language models with their outputs. Whatever is not known to allow training is taken to restrict it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import ModelConfig
from pipeline.dataset.inputs import Voice
from pipeline.dataset.plan import Licences
from pipeline.engine.embedded import MINI_NAME, STANDIN_NAME
from pipeline.engine.model_files import ModelFiles, locate, read_config
from pipeline.errors import ConfigError, some_of

OWN = "apache-2.0"  # of voicemill's own checkpoints
UNKNOWN = "unknown"
# licences of weights that say nothing of their outputs, or allow every use of them
_FREE = frozenset(
    {
        *("apache-2.0", "mit", "mit-0", "isc", "bsd-2-clause", "bsd-3-clause", "zlib", "0bsd", "unlicense"),
        *("cc0-1.0", "cc-by-3.0", "cc-by-4.0", "public-domain"),
    }
)
_COMMONS = re.compile(r"cc0(?:-1\.0)?|cc-by((?:-(?:nc|nd|sa))*)(?:-\d\.\d)?(?:-[a-z]{2,3})?")
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class ModelLicence:
    """`model` is name@revision; `told_by` says where the licence's name is from."""

    model: str
    name: str
    told_by: str

    @property
    def restricts_training(self) -> bool:
        return self.name not in _FREE


def licence_of(model: ModelConfig, stated: str | None) -> ModelLicence:
    """The licence that the plan states, else that of the checkpoint's own card. Raises CheckpointError."""
    files = locate(model.checkpoint, model.revision, weights=False)
    if stated is not None:
        return ModelLicence(files.id, stated.strip().lower(), "the plan")
    if read_config(files.folder).get("voicemill_name") in (STANDIN_NAME, MINI_NAME):
        return ModelLicence(files.id, OWN, "voicemill's own checkpoint")
    return ModelLicence(files.id, *_card_licence(files))


def refuse_restricted(licence: ModelLicence, allowed: Licences) -> None:
    """Raises ConfigError, before anything is spent, for a model whose outputs may not train others."""
    if licence.restricts_training and not allowed.allow_training_restricted:
        raise ConfigError(
            f"{licence.model}: its licence is {licence.name!r} (by {licence.told_by}), which is not known to "
            "allow its outputs to train other models. Read it, then set licence.allow_training_restricted = "
            "true in the plan, or name the right one as licence.model, or use another checkpoint"
        )


def licences_by_voice(voices: Sequence[Voice]) -> dict[str, list[str]]:
    """Licences of the references, as they are written, with their speakers."""
    found: dict[str, list[str]] = {}
    for voice in voices:
        speakers = found.setdefault(voice.licence or NOT_STATED, [])
        if voice.speaker not in speakers:
            speakers.append(voice.speaker)
    return dict(sorted(found.items()))


def more_open_than_voices(dataset: str | None, voices: Sequence[Voice]) -> list[str]:
    """A line for each voices' licence with a condition (nc, nd, sa) that the data set's does not have.

    Of plain Creative Commons licences alone; nothing is said of others.
    """
    given = _conditions(dataset or "")
    if given is None:
        return []
    return [
        f"the data set's licence {dataset} is more open than {licence} of {some_of(speakers)}: it lacks "
        + ", ".join(sorted(missing))
        for licence, speakers in licences_by_voice(voices).items()
        if (missing := (_conditions(licence) or frozenset()) - given)
    ]


def _conditions(licence: str) -> frozenset[str] | None:
    """Of `nc`, `nd` and `sa` those in the licence's name; None if it is not one of Creative Commons."""
    match = _COMMONS.fullmatch(re.sub(r"[\s_-]+", "-", licence.strip().lower()))
    return None if match is None else frozenset((match[1] or "").split("-")) - {""}


def _card_licence(files: ModelFiles) -> tuple[str, str]:
    """`license_name` or `license` in the head of the model card, as the Hugging Face Hub has it."""
    from huggingface_hub import metadata_load

    card = files.folder / "README.md"
    try:
        head = metadata_load(card) if card.is_file() else None
    except Exception as error:  # whatever its YAML parser raises; the card is somebody else's
        return UNKNOWN, f"a model card that cannot be read ({type(error).__name__})"
    if not isinstance(head, dict):
        return UNKNOWN, "no model card"
    # `other` stands for the licence that license_name names
    name = head.get("license_name") if head.get("license") in (None, "other") else head["license"]
    return (str(name).strip().lower() if name else UNKNOWN), "its model card"
