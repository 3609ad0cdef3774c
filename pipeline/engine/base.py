"""What every engine is: packed samples in, codes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.records import ChatMLSample, GeneratedCodes


@dataclass(frozen=True, slots=True)
class Sampling:
    """Defaults of the original CLI. `temperature` 0 is greedy, without RAS; `top_k` 0 is no limit."""

    temperature: float = 1.0
    top_p: float = 0.95
    top_k: int = 50


@dataclass(frozen=True, slots=True)
class GenerationItem:
    """A row to generate. What is None is the engine's default."""

    utterance_id: str
    sample: ChatMLSample
    seed: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


class Engine(Protocol):
    """Holds a model. `id` names the algorithm: another may draw other codes from the same seeds."""

    @property
    def id(self) -> str: ...

    def generate(self, items: Sequence[GenerationItem]) -> Iterator[GeneratedCodes]:
        """The codes [K, T] of every item, each as it finishes, in any order; T may be 0.

        Raises EngineFatalError when the device has failed: the process is then of no more use.
        """
        ...
