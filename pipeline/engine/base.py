"""What every engine is: packed samples in, codes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import RowError
from pipeline.records import ChatMLSample, GeneratedCodes

ENGINE_ID = "continuous/3"  # of the engine that runs use; part of a run's fingerprint


@dataclass(frozen=True, slots=True)
class Sampling:
    """Defaults of the original CLI. `temperature` 0 is greedy, without RAS; `top_k` 0 is no limit."""

    temperature: float = 1.0
    top_p: float = 0.95
    top_k: int = 50


@dataclass(frozen=True, slots=True)
class GenerationItem:
    """A row to generate. What is None is the engine's default. `follows`: see `context.Chains`.

    `extended`: what rows before it have said is in the sample, so that no other row shares it.
    """

    utterance_id: str
    sample: ChatMLSample
    seed: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    follows: str | None = None
    extended: bool = False


def over(default: Sampling, temperature: float | None, top_p: float | None, top_k: int | None) -> Sampling:
    """What is given, else the default's."""
    return Sampling(
        default.temperature if temperature is None else temperature,
        default.top_p if top_p is None else top_p,
        default.top_k if top_k is None else top_k,
    )


def sampling_of(item: GenerationItem, default: Sampling) -> Sampling:
    """The row's own settings over the engine's."""
    return over(default, item.temperature, item.top_p, item.top_k)


class Engine(Protocol):
    """Holds a model. `id` names the algorithm: another may draw other codes from the same seeds."""

    @property
    def id(self) -> str: ...

    def speak(self, items: Sequence[GenerationItem]) -> Sequence[GeneratedCodes | RowError]:
        """The codes [K, T] of every item, in order, T may be 0; a RowError where a row cannot be spoken.

        Raises EngineFatalError when the device has failed: the process is then of no more use.
        """
        ...
