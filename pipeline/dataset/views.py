"""What `voicemill synthesize` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console

from pipeline.dataset.export import ExportReport
from pipeline.dataset.hours import wanted_seconds
from pipeline.dataset.sampling import Draw
from pipeline.dataset.source import Source
from pipeline.dataset.splits import assign_splits
from pipeline.dataset.survey import Survey
from pipeline.progress import duration
from pipeline.views import say


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
    say(
        console,
        f"{len(draws)} rows, about {duration(seconds)} of speech for {_hours(source)} wanted; up to "
        f"{plan.oversampling:g} times that if the gates take much",
    )
    split_of = assign_splits(sampler.speakers, plan.split_shares, plan.seed)
    parts: tuple[tuple[str, Callable[[Draw], str]], ...] = (
        ("language", lambda draw: draw.text.language),
        ("style", lambda draw: draw.style),
        ("split", lambda draw: split_of[draw.voice.speaker]),
    )
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
        f"{survey.whole.rows} of {survey.rows} rows are accepted: {duration(survey.whole.seconds)} of "
        f"{_hours(source)} wanted{_reasons(survey.left_out, ' left out')}",
    )


def print_export(console: Console, report: ExportReport) -> None:
    before = ", there already" if report.there_already else ""
    has = "has" if len(report.changed) == 1 and not report.changed[0].endswith("s") else "have"
    why = f"made again: {', '.join(report.changed)} {has} changed; " if report.changed else ""
    gone = f", {report.left_out} that the format cannot hold (see the card)" if report.left_out else ""
    say(console, f"{report.uri}: {why}{report.rows} rows{gone}{before}")


def _hours(source: Source) -> str:
    return duration(wanted_seconds(source.plan, len(source.sampler.speakers)))


def _reasons(counts: Counter[str], what: str) -> str:
    if not counts:
        return ""
    return (
        f", {counts.total()}{what} ({', '.join(f'{code} {count}' for code, count in counts.most_common())})"
    )
