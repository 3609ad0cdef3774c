"""Arguments and options that several commands have, so that they mean and say the same everywhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import RunConfig, load_config
from pipeline.errors import ConfigError

_INTERRUPTED = 130

Manifest = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="CSV, JSONL, Parquet or meta.lst; a path or URI.")
]
RunUri = Annotated[
    str, typer.Argument(metavar="RUN", help="Run folder: a path or a URI such as s3://bucket/run.")
]
Out = Annotated[
    str, typer.Option("--out", "-o", help="Run folder: a path or URI. Reuse the same folder to resume.")
]
JobFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Job file (TOML); `voicemill settings` prints one.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Override one setting; repeatable."),
]
Format = Annotated[
    str | None, typer.Option(help="csv, jsonl, parquet or lst; guessed from the name unless given.")
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Take the run over from another driver, which then stops.")
]
Strict = Annotated[bool, typer.Option(help="Refuse the whole manifest if any row is bad.")]


def settings_of(
    config: Path | None, assignments: list[str] | None, over: RunConfig | None = None
) -> RunConfig:
    try:
        toml = None if config is None else config.read_bytes()
    except OSError as error:
        raise ConfigError(f"--config {config}: {error.strerror}") from error
    try:
        return load_config(toml, assignments or [], over)
    except ConfigError as error:
        where = f"--config {config}: " if toml is not None and _is_faulty(toml, over) else ""
        raise ConfigError(f"{where}{error}") from None


def _is_faulty(toml: bytes, over: RunConfig | None) -> bool:
    """Whether it is the file, and not an assignment beside it."""
    try:
        load_config(toml, [], over)
    except ConfigError:
        return True
    return False


def resources_over(
    recorded: RunConfig, config: Path | None, assignments: list[str] | None, command: str
) -> RunConfig:
    """The settings of a run with the [resources] that are given now. Raises ConfigError for others."""
    given = settings_of(config, assignments, recorded)
    if replace(given, resources=recorded.resources) != recorded:
        raise ConfigError(f"{command} keeps the settings of its run; only [resources] may be given")
    return given


class _JobHelp(argparse.RawDescriptionHelpFormatter):
    """A job's docstring as it is written, and behind an option its default."""

    def _get_help_string(self, action: argparse.Action) -> str:
        said = action.help or ""
        is_told = action.option_strings and action.default not in (None, argparse.SUPPRESS)
        return f"{said} (default: %(default)s)" if is_told and action.default is not False else said


def job_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Of `python -m jobs.NAME` without typer; `doc` is its module's."""
    return argparse.ArgumentParser(prog=f"python -m jobs.{name}", description=doc, formatter_class=_JobHelp)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """OUT, settings and --config, of jobs that make a run."""
    parser.add_argument("out", help="run folder: a path or URI; reuse the same folder to resume")
    parser.add_argument(
        "settings", nargs="*", metavar="section.key=value", help="settings over the job file's"
    )
    parser.add_argument("--config", type=Path, metavar="JOB.toml", help="job file; see `voicemill settings`")


def run_alone(command: Callable[..., None]) -> int:
    """A command as a program of its own, `python -m jobs.NAME`; its exit code."""
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    app.command()(command)
    return exit_code_of(app)


def exit_code_of(app: typer.Typer) -> int:
    """Runs it. Raises KeyboardInterrupt for Ctrl-C, of which typer makes an exit."""
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            raise KeyboardInterrupt from None
        return end.code if isinstance(end.code, int) else 0
    return 0
