"""Outputs of a model train others only where its licence is known to allow that, or somebody has read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.config import ModelConfig
from pipeline.dataset.inputs import Voice
from pipeline.dataset.licence import licence_of, more_open_than_voices, refuse_restricted
from pipeline.dataset.plan import Licences
from pipeline.errors import ConfigError


def checkpoint(folder: Path, card: str | None, **config: str) -> ModelConfig:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "higgs_audio_v2", **config}))
    if card is not None:
        (folder / "README.md").write_text(card)
    return ModelConfig(checkpoint=str(folder))


@pytest.mark.parametrize(
    ("card", "name", "restricts"),
    [
        (
            "---\nlicense: other\nlicense_name: boson-higgs-audio-2-community-license\n---\n# Higgs",
            "boson-higgs-audio-2-community-license",
            True,
        ),
        ("---\nlicense: Apache-2.0\n---\n", "apache-2.0", False),
        ("---\nlicense: other\n---\n", "unknown", True),
        ("---\nlicense: cc-by-nc-4.0\n---\n", "cc-by-nc-4.0", True),
        ("---\nlicense: [mit]\n---\n", "['mit']", True),
        ("---\n: {\n---\n", "unknown", True),
        ("# no head", "unknown", True),
        (None, "unknown", True),
    ],
)
def test_the_checkpoints_own_card_tells(tmp_path: Path, card: str | None, name: str, restricts: bool) -> None:
    licence = licence_of(checkpoint(tmp_path / "higgs", card), None)
    assert (licence.name, licence.restricts_training) == (name, restricts)
    assert licence.model.startswith("higgs@")


def test_a_restricted_model_is_refused_unless_the_plan_allows_it(tmp_path: Path) -> None:
    licence = licence_of(checkpoint(tmp_path / "higgs", None), None)
    with pytest.raises(ConfigError, match=r"higgs@.*'unknown'.*licence\.allow_training_restricted = true"):
        refuse_restricted(licence, Licences())
    refuse_restricted(licence, Licences(allow_training_restricted=True))


def test_what_the_plan_states_comes_first(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "mine", "---\nlicense: other\n---\n")
    licence = licence_of(model, "MIT")
    assert (licence.name, licence.told_by) == ("mit", "the plan")
    refuse_restricted(licence, Licences())
    assert licence_of(model, "boson-community").restricts_training


@pytest.mark.parametrize(
    ("dataset", "voice", "lacks"),
    [
        ("cc-by-4.0", "cc-by-nc-4.0", "nc"),
        ("cc-by-4.0", "CC BY-NC-ND 4.0", "nc, nd"),
        ("cc0-1.0", "cc-by-sa-3.0-de", "sa"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "sa"),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", None),
        ("cc-by-nc-sa-4.0", "cc-by-4.0", None),
        ("cc-by-4.0", "cc0-1.0", None),
        ("cc-by-4.0", "bespoke-nc", None),
        ("mit", "cc-by-nc-4.0", None),
        (None, "cc-by-nc-4.0", None),
        ("cc-by-4.0", None, None),
    ],
)
def test_conditions_of_creative_commons_are_compared(
    dataset: str | None, voice: str | None, lacks: str | None
) -> None:
    """Against the names of the licences, at https://creativecommons.org/share-your-work/cclicenses/."""
    said = more_open_than_voices(dataset, [Voice("Anna", "/a.flac", licence=voice)])
    line = f"the data set's licence {dataset} is more open than {voice} of Anna: it lacks {lacks}"
    assert said == ([] if lacks is None else [line])


@pytest.mark.parametrize("name", ["voicemill-mini", "voicemill-standin-random"])
def test_our_own_checkpoints_are_free(tmp_path: Path, name: str) -> None:
    refuse_restricted(licence_of(checkpoint(tmp_path / "own", None, voicemill_name=name), None), Licences())
