"""`voicemill synthesize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.command_options import Assignments, JobFile, TakeOver, settings_of
from pipeline.errors import ConfigError
from pipeline.extras import require_studio


def synthesize(
    texts: Annotated[
        str,
        typer.Argument(
            metavar="TEXTS", help="One text per line, or CSV, JSONL or Parquet with text and language."
        ),
    ],
    voices: Annotated[
        str,
        typer.Option(
            "--voices", help="Table of ref and speaker; optional: ref_text, language, consent_id, licence."
        ),
    ],
    plan: Annotated[
        Path, typer.Option("--plan", help="Plan (TOML): hours, languages, styles, splits, licence.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="Folder of the data set: a path or URI. Reuse the same folder to resume."
        ),
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="huggingface, webdataset, lhotse, shar, ljspeech, chatml or alignments, each into a folder "
            "of that name; repeatable.",
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Show what would be spoken, and stop.")
    ] = False,
    config: JobFile = None,
    set_: Assignments = None,
    take_over: TakeOver = False,
) -> None:
    """Speak training data: sampled by a plan, filtered by gates, exported in training formats.

    Example: `voicemill synthesize lines.txt --voices voices.csv --plan plan.toml --out set --format shar`
    """
    require_studio("synthesize")
    from jobs.dataset import synthesize as synthesized
    from pipeline.dataset.plan import load_plan

    try:
        wanted = load_plan(plan.read_bytes())
    except OSError as error:
        raise ConfigError(f"--plan {plan}: {error.strerror}") from error
    made = synthesized(
        texts,
        voices,
        wanted,
        out,
        settings_of(config, set_),
        Console(soft_wrap=False),
        formats=formats or (),
        estimate_only=estimate,
        take_over=take_over,
    )
    raise typer.Exit(0 if made.reached else 1)
