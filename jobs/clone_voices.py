"""The main job: a manifest of (reference, text) rows to scored speech.

    python -m jobs.clone_voices MANIFEST OUT [--config JOB.toml] [section.key=value ...]
    ray job submit -- python -m jobs.clone_voices s3://bucket/m.csv s3://bucket/run

The same as `voicemill run MANIFEST --out OUT`.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from pipeline import beforehand
from pipeline.command_options import (
    Assignments,
    Format,
    JobFile,
    Manifest,
    Strict,
    TakeOver,
    run_alone,
    settings_of,
)
from pipeline.config import RunConfig
from pipeline.reported import reported
from pipeline.telemetry import Telemetry
from pipeline.views import say


def clone_voices(
    manifest: str,
    out: str,
    config: RunConfig,
    console: Console,
    *,
    format: str | None = None,
    strict: bool = False,
    until: Literal["samples", "finish"] = "finish",
    take_over: bool = False,
) -> dict[str, Any]:
    """Returns the run's summary. Running it again on the same `out` does only what is missing."""
    beforehand.refuse_conflicts(out, "speak", config)
    preflight = beforehand.check_manifest(manifest, config, console, format=format, strict=strict)
    planned = beforehand.all_planned(out, preflight)
    if planned and (done := beforehand.whole_already(out, console, until)) is not None:
        if until == "finish":
            beforehand.tell_readable_now(preflight.report, done, console)
            Telemetry(config.resources.metrics_file).finished(done)
        return done
    say(console, "loading Ray and its libraries")
    from pipeline import steps  # Ray: seconds to import

    with steps.session(out, manifest, "speak", config, console, take_over=take_over) as session:
        if not planned:
            steps.plan_rows(session, preflight)
        steps.encode_voices(session)
        if until == "samples":
            return steps.pack_shards(session)
        steps.speak_shards(session)
        return steps.finish(session)


def resume(out: str, config: RunConfig, console: Console, *, take_over: bool = False) -> dict[str, Any]:
    """Generates what a run has planned and packed; the manifest is not looked at again."""
    beforehand.refuse_conflicts(out, "speak", config)
    if (done := beforehand.whole_already(out, console)) is not None:
        return done
    say(console, "loading Ray and its libraries")
    from pipeline import steps  # Ray: seconds to import

    with steps.session(out, "", "speak", config, console, take_over=take_over) as session:
        steps.encode_voices(session)
        steps.speak_shards(session)
        return steps.finish(session)


def command(
    manifest: Manifest,
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Run folder: a path or URI. Reuse the same folder to resume.")
    ],
    assignments: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Settings, as with --set.")
    ] = None,
    config: JobFile = None,
    set_: Assignments = None,
    format: Format = None,
    strict: Strict = False,
    take_over: TakeOver = False,
) -> None:
    """Speak and score a manifest, as `voicemill run` does. The job file lies where the driver runs.

    Example: `ray job submit -- python -m jobs.clone_voices s3://bucket/m.csv s3://bucket/run`
    """
    settings = settings_of(config, [*(set_ or ()), *(assignments or ())])
    summary = clone_voices(
        manifest, out, settings, Console(), format=format, strict=strict, take_over=take_over
    )
    raise typer.Exit(1 if summary["failed"] or summary["rejected"] else 0)


def main() -> int:
    return run_alone(command)


if __name__ == "__main__":
    sys.exit(reported(main))
