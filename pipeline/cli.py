"""`voicemill`: the command line. Thin: it parses, calls the steps, prints, and sets the exit code.

Exit codes: 0 all rows ok, 1 finished with failed or rejected rows, 2 bad usage or manifest, 3 broke off, or
another driver works on the run.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from pipeline import __version__
from pipeline.command_options import (
    Assignments,
    Format,
    JobFile,
    Manifest,
    Out,
    RunUri,
    Strict,
    TakeOver,
    exit_code_of,
    resources_over,
    settings_of,
)
from pipeline.commands.dub import dub
from pipeline.commands.narrate import narrate, redo
from pipeline.commands.synthesize import synthesize
from pipeline.commands.withdraw import withdraw
from pipeline.config import RunConfig
from pipeline.reported import reported

app = typer.Typer(
    name="voicemill",
    help="Turn a manifest of (reference audio, text) rows into cloned speech, with scores on every row.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
out_console = Console(soft_wrap=False)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"voicemill {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and logs.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if debug else logging.ERROR, stream=sys.stderr)


@app.command()
def check(
    manifest: Manifest, config: JobFile = None, set_: Assignments = None, format: Format = None
) -> None:
    """Check a manifest without a GPU: columns, ids, texts, languages, references.

    Example: `voicemill check manifests/demo.csv`
    """
    from pipeline.preflight import Preflight
    from pipeline.views import print_bad_row, print_preflight, print_reading

    settings = settings_of(config, set_)
    print_reading(out_console, manifest)
    preflight = Preflight(manifest, settings, format=format)
    for row in preflight.rows():
        if row["error_code"]:
            print_bad_row(out_console, row)
    print_preflight(out_console, preflight.report, settings)
    raise typer.Exit(1 if preflight.report.bad_rows else 0)


@app.command()
def run(
    manifest: Manifest,
    out: Out,
    config: JobFile = None,
    set_: Assignments = None,
    format: Format = None,
    strict: Strict = False,
    take_over: TakeOver = False,
    summary: Annotated[
        str | None,
        typer.Option("--summary", help="File to write the summary to (JSON) once the run is complete."),
    ] = None,
) -> None:
    """Check a manifest, speak it, score every row and store the results. Run it again to resume.

    Example: `voicemill run manifests/demo.csv --out runs/demo`
    """
    from pipeline.destination import file_destination

    place = None if summary is None else file_destination(summary)
    done = _speak(manifest, out, settings_of(config, set_), format, strict, take_over, until="finish")
    if place is not None:
        store, name = place
        store.put(name, json.dumps(done, indent=2, sort_keys=True).encode())
    _end(done, out)


@app.command()
def prepare(
    manifest: Manifest,
    out: Out,
    config: JobFile = None,
    set_: Assignments = None,
    format: Format = None,
    strict: Strict = False,
    take_over: TakeOver = False,
) -> None:
    """Like `run`, but stop once the ChatML samples are packed. `generate` continues from there.

    Example: `voicemill prepare manifests/demo.csv --out runs/demo`
    """
    done = _speak(manifest, out, settings_of(config, set_), format, strict, take_over, until="samples")
    out_console.print(f"samples are packed in {out}/samples; continue with: voicemill generate {out}")
    raise typer.Exit(1 if done["failed"] else 0)


@app.command()
def generate(
    run_uri: RunUri, config: JobFile = None, set_: Assignments = None, take_over: TakeOver = False
) -> None:
    """Speak and score what `prepare` packed or a `run` left unfinished, with the run's settings.

    Example: `voicemill generate runs/demo`
    """
    from jobs.clone_voices import resume
    from pipeline.run import config_of_run

    settings = resources_over(config_of_run(run_uri), config, set_, "generate")
    _end(resume(run_uri, settings, out_console, take_over=take_over), run_uri)


@app.command()
def score(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Manifest with an `audio` column, or a finished run.")
    ],
    out: Out,
    config: JobFile = None,
    set_: Assignments = None,
    format: Format = None,
    take_over: TakeOver = False,
) -> None:
    """Score existing audio: WER, CER and similarity on every row.

    Example: `voicemill score runs/demo --out runs/demo-scores`
    """
    from jobs.score_audio import score_audio

    settings = settings_of(config, set_)
    _end(score_audio(source, out, settings, out_console, format=format, take_over=take_over), out)


@app.command()
def status(run_uri: RunUri) -> None:
    """Show how much of a run is planned, packed, committed and failed, and whether it is complete.

    Example: `voicemill status runs/demo`
    """
    from pipeline.views import print_status

    print_status(out_console, run_uri)


@app.command()
def results(
    run_uri: RunUri,
    format: Annotated[str, typer.Option(help="table, csv, jsonl or parquet.")] = "table",
    output: Annotated[
        str | None,
        typer.Option("--output", help="File to write, a path or URI; standard output unless given."),
    ] = None,
    all_columns: Annotated[
        bool, typer.Option("--all-columns", help="Include audio and codes (Parquet only).")
    ] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only failed and rejected rows, with the reason.")
    ] = False,
) -> None:
    """Print the results committed so far, one row per manifest row.

    Example: `voicemill results runs/demo --format csv > metrics.csv`
    """
    from pipeline.views import print_results

    print_results(out_console, run_uri, format, output, all_columns=all_columns, only_failed=failed)


@app.command()
def export(
    run_uri: RunUri,
    to: Annotated[
        str, typer.Option("--to", help="Folder for <utterance_id>.flac and metadata.jsonl: a path or URI.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files that are not this run's.")
    ] = False,
) -> None:
    """Write a run's audio as files. Run it again to add what is missing.

    Example: `voicemill export runs/demo --to dubbed/`
    """
    from pipeline.errors import some_of
    from pipeline.export import export_audio
    from pipeline.run import read_run
    from pipeline.views import many, say

    read_run(run_uri)
    report = export_audio(run_uri, to, overwrite=overwrite)
    before = f" ({report.unchanged} already there)" if report.unchanged else ""
    say(
        out_console,
        f"{many(report.files, 'file')} in {to}{before}, {many(report.skipped, 'row')} without audio; see "
        "metadata.jsonl",
    )
    if report.stale:
        say(
            out_console,
            f"not of this run, or not any more: {some_of(report.stale)}; delete what is withdrawn",
        )


@app.command()
def report(
    run_uri: RunUri,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Page to write, a path or URI; RUN/report.html unless given."),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="OTHER_RUN", help="Another run of the same ids to compare with."),
    ] = None,
    audio: Annotated[
        str, typer.Option(help="embed (worst rows first), link (to files beside the page) or none.")
    ] = "embed",
    max_embedded_mb: Annotated[float, typer.Option(help="Limit for embedded audio, in MB.")] = 20.0,
    price_per_hour: Annotated[
        float | None,
        typer.Option(help="Price of an hour of one engine's device, in any currency; adds the cost."),
    ] = None,
) -> None:
    """Write one HTML page with figures, gates and players, worst rows first.

    Example: `voicemill report runs/demo --out report.html`
    """
    from pipeline.report.write import write_report
    from pipeline.views import say

    done = write_report(
        run_uri,
        out,
        compare_with=compare,
        audio=audio,
        max_embedded_mb=max_embedded_mb,
        price_per_hour=price_per_hour,
    )
    say(out_console, f"{done.uri}: {done.rows} rows, {done.heard} with sound, {done.bytes / 2**20:.1f} MiB")


@app.command()
def gc(
    run_uri: RunUri,
    older_than: Annotated[
        str, typer.Option("--older-than", help="Minimum age: 90m, 24h or 7d; at least 1h.")
    ] = "24h",
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the files instead of listing them.")
    ] = False,
) -> None:
    """List, or with --delete remove, files left by dead workers that no result needs.

    Example: `voicemill gc runs/demo --older-than 24h --delete`
    """
    from pipeline.garbage import age_in_seconds, collect_garbage
    from pipeline.run import read_run
    from pipeline.views import many, say

    read_run(run_uri)
    keys = collect_garbage(run_uri, age_in_seconds(older_than), delete=delete)
    for key in keys:
        say(out_console, key)
    if keys:
        say(out_console, f"{many(len(keys), 'object')} {'deleted' if delete else 'to delete: add --delete'}")
    else:
        say(out_console, f"nothing is older than {older_than} that no result needs")


for command in (narrate, redo, dub, synthesize, withdraw):
    app.command()(command)


@app.command()
def settings(config: JobFile = None, set_: Assignments = None) -> None:
    """Print every setting with its meaning and value, as a job file.

    Example: `voicemill settings > job.toml`
    """
    from pipeline.settings import settings_toml

    typer.echo(settings_toml(settings_of(config, set_)), nl=False)


def _speak(
    manifest: str,
    out: str,
    settings: RunConfig,
    format: str | None,
    strict: bool,
    take_over: bool,
    until: Literal["samples", "finish"],
) -> dict[str, Any]:
    from jobs.clone_voices import clone_voices

    return clone_voices(
        manifest, out, settings, out_console, format=format, strict=strict, until=until, take_over=take_over
    )


def _end(summary: dict[str, Any], uri: str) -> None:
    from pipeline.views import print_summary

    print_summary(out_console, summary, uri)
    raise typer.Exit(1 if summary["failed"] or summary["rejected"] else 0)


def main() -> None:
    """Console script."""
    if "--debug" in sys.argv:  # wherever it stands
        sys.argv = [sys.argv[0], "--debug", *(word for word in sys.argv[1:] if word != "--debug")]
    sys.exit(reported(lambda: exit_code_of(app), debug="--debug" in sys.argv))


if __name__ == "__main__":
    main()
