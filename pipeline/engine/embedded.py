"""Checkpoints that are had without a download, by their names: voicemill-mini, and a random one for tests."""

from __future__ import annotations

from pathlib import Path

MINI, STANDIN = "mini", "standin"
MINI_NAME, STANDIN_NAME = "voicemill-mini", "voicemill-standin-random"
MINI_FOLDER = Path(__file__).parents[1] / "checkpoints" / MINI_NAME
# what every report of a run with one of them says
NOTES = {
    MINI_NAME: "voicemill-mini is a small model trained on synthetic speech: for trying and testing the "
    "pipeline, not for listening",
    STANDIN_NAME: "random weights stand in for a trained model: the audio is noise and no score means "
    "anything",
}


def embedded_folder(spec: str) -> Path | None:
    """The folder of the checkpoint of that name, or None if it is not one of these."""
    if spec == MINI:
        return MINI_FOLDER
    if spec == STANDIN:
        from pipeline.engine.standin import standin_folder  # builds it

        return standin_folder()
    return None


def note_of(model_id: str) -> str | None:
    """What a reader of a run's results must know of the model `name@revision`."""
    return NOTES.get(model_id.partition("@")[0])
