"""Texts, voices and plan together: everything that decides which rows a data set has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pipeline.config import CheckConfig
from pipeline.dataset.hours import first_limits, wanted_seconds
from pipeline.dataset.inputs import Texts, Voice, digest, read_texts, read_voices
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.sampling import Draw, Sampler
from pipeline.dataset.selection import Selection
from pipeline.dataset.splits import assign_splits
from pipeline.errors import ManifestError
from pipeline.uris import shown


@dataclass(frozen=True)
class Source:
    plan: DatasetPlan
    texts: Texts
    voices: tuple[Voice, ...]
    sampler: Sampler

    @property
    def sampled_from(self) -> dict[str, Any]:
        """What the rows depend on, as JSON."""
        # a licence is told of a voice, and changes no row
        voices = [replace(voice, licence=None) for voice in self.voices]
        inputs = {"texts": digest(self.texts.texts), "voices": digest(voices)}
        return {"plan": self.plan.sampled_by(), **inputs}

    def first_rows(self) -> list[Draw]:
        """The rows that make the wanted hours, by estimate. Raises ManifestError if there are not enough."""
        plan, speakers = self.plan, self.sampler.speakers
        draws = self.sampler.draw(first_limits(plan, speakers))
        wanted, found = wanted_seconds(plan, len(speakers)), sum(draw.seconds for draw in draws)
        if found < wanted:
            raise ManifestError(
                f"the plan wants {wanted / 3600:.3g} hours, and {len(self.texts.texts)} texts make about "
                f"{found / 3600:.3g} with {len(speakers)} voices, each saying a text once; add texts or "
                "voices, or want less"
            )
        return draws

    def selection(self, run: str) -> Selection:
        """What is kept of the run with that fingerprint."""
        return Selection(self.plan, self.voices, self.sampler.speakers, run)


def read_source(texts_uri: str, voices_uri: str, plan: DatasetPlan, check: CheckConfig) -> Source:
    """Raises ManifestError and ConfigError for what can be known before anything is spent."""
    voices = read_voices(voices_uri, check)
    texts = read_texts(texts_uri, check, plan.languages)
    sampler = Sampler(plan, texts.texts, voices)
    if not sampler.speakers:
        raise ManifestError(
            f"no voice of {shown(voices_uri)} speaks a language of {shown(texts_uri)}; fix the languages"
        )
    assign_splits(sampler.speakers, plan.split_shares, plan.seed)
    return Source(plan, texts, voices, sampler)
