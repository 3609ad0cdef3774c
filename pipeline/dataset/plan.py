"""The plan of a data set: how many hours, in which languages and styles, split how, from whose model.

What is sampled depends on its seed, languages and styles alone; hours, splits and licence may change from
one start to the next.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.config import SamplingConfig, read_table
from pipeline.errors import ConfigError

_SPLIT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class Style:
    """How a share of the rows is said: a scene for the model, and sampling settings (none: the job's)."""

    share: float = 1.0  # of the rows, relative to those of the other styles
    scene: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        _require_share("plan.styles.<name>.share", self.share)
        SamplingConfig(0, self.temperature, self.top_p, self.top_k)  # raises for what no job takes

    @property
    def settings(self) -> tuple[Any, ...]:
        """What a row shows of its style."""
        return (self.scene, self.temperature, self.top_p, self.top_k)


@dataclass(frozen=True, slots=True)
class Licences:
    """What the data may be used for. Names are SPDX's or the Hugging Face Hub's, in small letters."""

    dataset: str | None = None  # of what is made
    model: str | None = None  # of the generating checkpoint, where its files do not tell
    allow_training_restricted: bool = False  # speak with a model that restricts what its outputs may train


@dataclass(frozen=True, slots=True)
class Alignment:
    """Who tells when each word is said, for the format `alignments`."""

    model: str | None = None  # a CTC checkpoint of transformers with characters: a folder or a hub id
    revision: str | None = None  # of a hub id: the commit


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """Hours count accepted speech. With both limits, whichever is reached first ends the sampling."""

    name: str = "Synthetic speech"
    hours: float | None = None  # in total
    hours_per_voice: float | None = None
    languages: list[str] = field(default_factory=list)  # BCP 47; none: all that the texts have
    styles: Mapping[str, Style] = field(default_factory=dict)
    splits: Mapping[str, float] = field(default_factory=dict)  # name -> share of the voices
    seed: int = 0
    keep_warned: bool = False  # rows that passed their gates with a warning only
    oversampling: float = 2.0  # at most this many times the hours are spoken, to make up for what gates take
    licence: Licences = field(default_factory=Licences)
    alignment: Alignment = field(default_factory=Alignment)

    def __post_init__(self) -> None:
        for name in ("hours", "hours_per_voice"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"plan.{name} = {value!r}: must be above 0")
        if not 1 <= self.oversampling <= 10:
            raise ConfigError(f"plan.oversampling = {self.oversampling!r}: must be 1 to 10")
        for name, share in self.splits.items():
            if not _SPLIT_NAME.fullmatch(name):
                raise ConfigError(f"plan.splits.{name}: write letters, digits and _, a letter first")
            _require_share(f"plan.splits.{name}", share)
        whole = sum(self.split_shares.values())
        if not math.isclose(whole, 1.0, rel_tol=0.0, abs_tol=1e-6):
            raise ConfigError(f"plan.splits sum to {whole:g}: shares of the voices must sum to 1")
        settings = [style.settings for style in self.styles.values()]
        if len(set(settings)) < len(settings):
            raise ConfigError("plan.styles: two styles have the same settings; change or drop one")

    @property
    def style_shares(self) -> dict[str, Style]:
        return dict(self.styles) or {"plain": Style()}

    @property
    def split_shares(self) -> dict[str, float]:
        return dict(self.splits) or {"train": 1.0}

    def sampled_by(self) -> dict[str, Any]:
        """What the sampled rows depend on, as JSON."""
        return {
            "seed": self.seed,
            "languages": sorted(self.languages),
            "styles": {name: [style.share, *style.settings] for name, style in sorted(self.styles.items())},
        }


def load_plan(toml: bytes) -> DatasetPlan:
    """A plan from TOML. Raises ConfigError that names what is wrong."""
    try:
        tree = tomllib.loads(toml.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the plan is not TOML: {error}") from error
    plan: DatasetPlan = read_table("plan", DatasetPlan(), tree)
    if plan.hours is None and plan.hours_per_voice is None:
        raise ConfigError("the plan wants no hours: set hours, hours_per_voice or both")
    return plan


def _require_share(name: str, share: float) -> None:
    if not (math.isfinite(share) and share > 0):
        raise ConfigError(f"{name} = {share!r}: must be above 0")
