"""Arguments and options that several commands have, so that they mean and say the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import RunConfig, load_config
from pipeline.errors import ConfigError

Manifest = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="CSV, JSONL, Parquet or meta.lst; a path or URI.")
]
RunUri = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of a run: a path or URI such as s3://bucket/run.")
]
Out = Annotated[
    str, typer.Option("--out", "-o", help="Folder of the run: a path or URI. The same again resumes it.")
]
JobFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Job file (TOML); see `voicemill settings`.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="One setting; may be repeated."),
]
Format = Annotated[str | None, typer.Option(help="csv, jsonl, parquet or lst; by default from the name.")]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Go on with a run that another driver works on; that one stops.")
]
Strict = Annotated[
    bool, typer.Option(help="Refuse the whole manifest if any row is bad, before anything is spent.")
]


def settings_of(config: Path | None, assignments: list[str] | None) -> RunConfig:
    if config is None:
        return load_config(None, assignments or [])
    try:
        return load_config(config.read_bytes(), assignments or [])
    except OSError as error:
        raise ConfigError(f"--config {config}: {error.strerror}") from error


def run_alone(command: Callable[..., None]) -> int:
    """A command as a program of its own, `python -m jobs.NAME`; its exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0
