"""What a narration is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from pipeline.config import read_value
from pipeline.errors import ConfigError
from pipeline.programme.encode import ENCODINGS

SUBTITLES = ("srt", "vtt")


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds of silence behind a segment, by what ends with it."""

    clause: float = 0.1  # a sentence goes on
    sentence: float = 0.3
    paragraph: float = 0.7
    heading: float = 1.2
    scene: float = 2.0
    chapter: float = 2.5

    def __post_init__(self) -> None:
        for each in fields(self):
            if not 0 <= getattr(self, each.name) <= 60:
                raise ConfigError(f"--pause {each.name}={getattr(self, each.name):g}: give 0 to 60 seconds")


@dataclass(frozen=True, slots=True)
class NarrationOptions:
    """`missing`: what becomes of a segment that failed or was rejected: `gap` leaves `gap_s` of silence,
    `stop` puts nothing together. Either way the exit code is 1 and the report names it."""

    title: str | None = None  # none: the book's own, as the next two
    author: str | None = None
    language: str | None = None  # BCP 47; where the book says none, check.language
    numbers: bool = True  # in words
    max_segment_s: float = 15.0  # as estimated; a sentence without a clause to cut at may be longer
    pauses: Pauses = field(default_factory=Pauses)
    formats: tuple[str, ...] = ("m4b",)
    subtitles: tuple[str, ...] = ("srt",)
    lufs: float = -19.0
    missing: Literal["gap", "stop"] = "gap"
    gap_s: float = 1.0
    context: int = 0  # of the segments before it, in its voice and chapter, that a segment goes on from

    def __post_init__(self) -> None:
        _among("--format", self.formats, tuple(ENCODINGS))
        _among("--subtitles", self.subtitles, SUBTITLES)
        for name, value, least, most in (
            ("--max-segment-s", self.max_segment_s, 2.0, 60.0),
            ("--lufs", self.lufs, -40.0, -10.0),
            ("--gap-s", self.gap_s, 0.0, 60.0),
            ("--context", self.context, 0, 7),
        ):
            if not least <= value <= most:
                raise ConfigError(f"{name} {value:g}: give {least:g} to {most:g}")
        if not self.formats:
            raise ConfigError(f"no --format to write; give one or more of {', '.join(ENCODINGS)}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def options_from_dict(tree: dict[str, Any]) -> NarrationOptions:
    """The inverse of `to_dict`."""
    lists = {name: tuple(tree[name]) for name in ("formats", "subtitles")}
    return NarrationOptions(**(tree | lists | {"pauses": Pauses(**tree["pauses"])}))


def pauses_from(assignments: Sequence[str]) -> Pauses:
    """Of `paragraph=0.9` and the like. Raises ConfigError."""
    names = [each.name for each in fields(Pauses)]
    given: dict[str, float] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or name not in names:
            raise ConfigError(f"--pause {assignment}: write NAME=SECONDS; names are {', '.join(names)}")
        try:
            given[name] = float(value)
        except ValueError:
            raise ConfigError(f"--pause {assignment}: {value!r} is no number of seconds") from None
    return replace(Pauses(), **given)


def missing_policy(value: str) -> Literal["gap", "stop"]:
    chosen: Literal["gap", "stop"] = read_value("--missing", value, Literal["gap", "stop"])
    return chosen


def _among(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    for each in given:
        if each not in known:
            raise ConfigError(f"{option} {each}: not known; give one or more of {', '.join(known)}")
