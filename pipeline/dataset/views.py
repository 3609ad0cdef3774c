"""What `voicemill synthesize` says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console

from pipeline.dataset.export import ExportReport
from pipeline.dataset.hours import wanted_seconds
from pipeline.dataset.licence import NOT_STATED, licences_by_voice, more_open_than_voices
from pipeline.dataset.sampling import Draw
from pipeline.dataset.source import Source
from pipeline.dataset.splits import assign_splits
from pipeline.dataset.survey import Survey
from pipeline.errors import some_of
from pipeline.progress import duration
from pipeline.views import many, say

_FINE_BELOW_S = 600


def print_estimate(console: Console, source: Source, draws: Sequence[Draw]) -> None:
    """What is to be spoken, before anything is spent."""
    plan, sampler = source.plan, source.sampler
    kept, gone = len(source.texts.texts), source.texts.left_out
    say(console, f"{kept} texts{_reasons(gone, ' left out')}; {len(sampler.speakers)} voices")
    if sampler.silent:
        say(
            console,
            f"{len(sampler.silent)} voices speak no language of the texts: {', '.join(sampler.silent)}",
        )
    seconds = sum(draw.seconds for draw in draws)
    wanted = duration(_wanted_s(source))
    say(
        console,
        f"{many(len(draws), 'row')}, about {duration(seconds)} of speech for {wanted} wanted; up to "
        f"{plan.oversampling:g} times that if the gates take much",
    )
    split_of = assign_splits(sampler.speakers, plan.split_shares, plan.seed)
    parts: tuple[tuple[str, Callable[[Draw], str]], ...] = (
        ("language", lambda draw: draw.text.language),
        ("style", lambda draw: draw.style),
        ("split", lambda draw: split_of[draw.voice.speaker]),
    )
    if set(by_voice := licences_by_voice(source.voices)) - {NOT_STATED}:
        said = (f"{licence} ({some_of(speakers)})" for licence, speakers in by_voice.items())
        say(console, f"licences of the voices: {', '.join(said)}")
    for line in more_open_than_voices(plan.licence.dataset, source.voices):
        say(console, f"note: {line}")
    for title, part_of in parts:
        sums: dict[str, float] = {}
        for draw in draws:
            part = part_of(draw)
            sums[part] = sums.get(part, 0.0) + draw.seconds
        said = (f"{part} {duration(sums[part])}" for part in sorted(sums, key=lambda part: -sums[part]))
        say(console, f"  {title}: {', '.join(said)}")


def print_made(console: Console, source: Source, survey: Survey) -> None:
    """What there is, exactly."""
    say(
        console,
        f"{survey.whole.rows} of {many(survey.rows, 'row')} accepted: "
        f"{_finely(math.floor(survey.whole.seconds * 10) / 10)} of {_finely(_wanted_s(source))} wanted"
        f"{_reasons(survey.left_out, ' left out')}",
    )


def print_more(console: Console, more: int, survey: Survey, asked_s: float) -> None:
    """What is asked for beyond the rows so far, of an estimated `asked_s`, and why."""
    gone = survey.left_out.total()
    reasons = [f"{many(gone, 'row')} left out"] if gone else []
    if not gone or survey.whole.seconds < asked_s * survey.whole.rows / survey.rows:
        reasons.append("speech shorter than estimated")
    say(console, f"{many(more, 'row')} more, to make up for {' and '.join(reasons)}")


def print_export(console: Console, report: ExportReport) -> None:
    before = ", there already" if report.there_already else ""
    has = "has" if len(report.changed) == 1 and not report.changed[0].endswith("s") else "have"
    why = f"made again: {', '.join(report.changed)} {has} changed; " if report.changed else ""
    gone = f", {report.left_out} that the format cannot hold (see the card)" if report.left_out else ""
    say(console, f"{report.uri}: {why}{many(report.rows, 'row')}{gone}{before}")


def _wanted_s(source: Source) -> float:
    return wanted_seconds(source.plan, len(source.sampler.speakers))


def _finely(seconds: float) -> str:
    """As `duration`, with a decimal where a row makes a difference: what falls short must look so."""
    tenths = round(seconds * 10)
    if tenths >= _FINE_BELOW_S * 10:
        return duration(seconds)
    minutes, rest = divmod(tenths, 600)
    return f"{minutes} min {rest / 10:04.1f} s" if minutes else f"{rest / 10:.1f} s"


def _reasons(counts: Counter[str], what: str) -> str:
    if not counts:
        return ""
    return (
        f", {counts.total()}{what} ({', '.join(f'{code} {count}' for code, count in counts.most_common())})"
    )
