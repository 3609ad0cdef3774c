"""Data set synthesis: texts, voices and a plan to hours of accepted speech, in the formats people train from.

    python -m jobs.dataset TEXTS --voices VOICES --plan PLAN.toml --out OUT [--format huggingface ...]

The same as `voicemill synthesize`. The same command resumes; more hours in the plan add rows, all others
stay.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from jobs.clone_voices import clone_voices
from pipeline.beforehand import refuse_conflicts
from pipeline.command_options import run_alone
from pipeline.config import RunConfig
from pipeline.dataset.card import Card
from pipeline.dataset.export import ExportReport, check_formats, export_dataset, formats_there
from pipeline.dataset.folder import DatasetFolder, look_at_dataset, open_dataset
from pipeline.dataset.hours import first_limits, is_reached, next_limits
from pipeline.dataset.licence import ModelLicence, licence_of, refuse_restricted
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.references import check_references
from pipeline.dataset.source import Source, read_source
from pipeline.dataset.survey import Survey, empty_splits, survey_run
from pipeline.dataset.views import print_estimate, print_export, print_made, print_more
from pipeline.lease import Lease
from pipeline.reported import reported
from pipeline.run import read_run
from pipeline.views import say


@dataclass(frozen=True)
class Made:
    """What came of it. `reached`: whether there are the hours that the plan wants."""

    survey: Survey | None
    reached: bool
    exports: tuple[ExportReport, ...] = ()


def synthesize(
    texts: str,
    voices: str,
    plan: DatasetPlan,
    out: str,
    config: RunConfig,
    console: Console,
    *,
    formats: Sequence[str] = (),
    estimate_only: bool = False,
    take_over: bool = False,
) -> Made:
    """Raises what the run raises, and ConfigError, ManifestError for what can be known before it.

    An estimate raises for the same: of the folder, the references, the settings of a run that is there.
    """
    check_formats(formats, plan)
    licence = licence_of(config.model, plan.licence.model)
    refuse_restricted(licence, plan.licence)
    source = read_source(texts, voices, plan, config.check)
    print_estimate(console, source, source.first_rows())
    store = look_at_dataset(out, source.sampled_from)
    check_formats(formats_there(store), plan)
    refuse_conflicts(DatasetFolder(store).run_uri, "speak", config)
    say(console, "checking the references")
    check_references(source.voices, voices, config)
    if estimate_only:
        return Made(None, reached=True)
    folder = open_dataset(out, source.sampled_from)
    survey = speak_until_enough(folder, source, config, console, take_over=take_over)
    print_made(console, source, survey)
    for line in empty_splits(survey, source.selection("").split_of):
        say(console, f"note: {line}")
    with Lease(folder.store, take_over=take_over, say=partial(say, console)):
        exports = export_all(folder, source, survey, licence, config, formats, console)
    if not (reached := is_reached(plan, source.sampler.speakers, survey.speaker_s)):
        say(
            console,
            "fewer hours than planned: the gates reject too much for plan.oversampling, or for the texts",
        )
    return Made(survey, reached, exports)


def speak_until_enough(
    folder: DatasetFolder, source: Source, config: RunConfig, console: Console, *, take_over: bool = False
) -> Survey:
    """Speaks the sample, then more of it as long as the gates have taken too much. Returns what there is."""
    plan, sampler = source.plan, source.sampler
    folder.append(sampler.draw(first_limits(plan, sampler.speakers), folder.taken()), plan)
    while True:
        # strict: texts and voices are checked, so a bad row is a voice that has changed since
        clone_voices(
            folder.manifest_uri,
            folder.run_uri,
            config,
            console,
            format="jsonl",
            strict=True,
            take_over=take_over,
        )
        survey = survey_run(folder.run_uri, source.selection(""))
        taken = folder.taken()
        estimated = sampler.seconds_of(taken)
        row_s = sum(estimated.values()) / taken.total()
        limits = next_limits(plan, estimated, survey.speaker_s, row_s)
        if limits is None or not (more := folder.append(sampler.draw(limits, taken), plan)):
            return survey
        print_made(console, source, survey)
        print_more(console, more, survey, sum(estimated.values()))


def export_all(
    folder: DatasetFolder,
    source: Source,
    survey: Survey,
    licence: ModelLicence,
    config: RunConfig,
    formats: Sequence[str],
    console: Console,
) -> tuple[ExportReport, ...]:
    """Each format into a folder of its name, and again those that are there: all exports are of one plan."""
    names = dict.fromkeys([*formats, *formats_there(folder.store)])
    if not names:
        return ()
    if not survey.whole.rows:
        say(
            console,
            f"no row was accepted, so nothing is exported; see: voicemill report {folder.run_uri}",
        )
        return ()
    run = read_run(folder.run_uri)
    selection = source.selection(run["fingerprint"])
    empty = empty_splits(survey, selection.split_of)
    card = Card(source.plan, survey, licence, run, source.voices, source.texts.left_out, empty)
    reports = []
    for name in names:
        uri = f"{folder.store.uri}/{name}"
        reports.append(export_dataset(uri, name, folder.run_uri, selection, card, config.model))
        print_export(console, reports[-1])
    return tuple(reports)


def main() -> int:
    from pipeline.commands.synthesize import synthesize as command

    return run_alone(command)


if __name__ == "__main__":
    sys.exit(reported(main))
