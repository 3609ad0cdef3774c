"""Dubbing: subtitles and a voice per speaker to one track on the original's timeline.

    python -m jobs.dubbing SUBTITLES --out OUT --voices VOICES.toml (--original FILE | --length SECONDS) [...]

The same as `voicemill dub`.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from rich.console import Console

from jobs.clone_voices import clone_voices
from pipeline.command_options import run_alone
from pipeline.config import RunConfig
from pipeline.dubbing.assemble import assemble, standing
from pipeline.dubbing.place import Round, again, first_round, place
from pipeline.dubbing.project import DubOptions, Project, open_project
from pipeline.dubbing.takes import manifest_bytes
from pipeline.lease import Lease
from pipeline.programme.references import with_own_references
from pipeline.reported import reported
from pipeline.views import say


def dub(
    out: str, options: DubOptions, config: RunConfig, console: Console, *, take_over: bool = False
) -> dict[str, Any]:
    """Returns the report. Running it again on the same `out` does only what is missing or has changed."""
    project = open_project(out, options, config, partial(say, console))
    config = with_own_references(config, project.store)
    first = first_round(project)
    speak(project, 1, first, config, console, take_over=take_over)
    placements = place(project, [first])
    if options.takes_again and (second := again(project, placements)):
        say(console, f"cues too long for their slots, spoken again: {len(second)}")
        speak(project, 2, second, config, console, take_over=take_over)
        placements = place(project, [first, second])
    if (report := standing(project, placements)) is not None:
        say(console, f"{out} is complete: nothing to do")
        return report
    say(console, f"cues put on the track: {sum(1 for each in placements if each.placed)}")
    with Lease(project.store, take_over=take_over, say=partial(say, console)):
        return assemble(project, placements, partial(say, console))


def speak(
    project: Project, number: int, wanted: Round, config: RunConfig, console: Console, *, take_over: bool
) -> None:
    """A round is an ordinary run; lines that an earlier call has spoken are in it already."""
    takes = project.options.takes if number == 1 else project.options.takes_again
    lines = [(line, wanted[line.content]) for line in project.lines if line.content in wanted]
    project.store.put(project.manifest_key(number), manifest_bytes(lines, takes, "../"))
    clone_voices(project.manifest_uri(number), project.run_uri(number), config, console, take_over=take_over)


def main() -> int:
    from pipeline.commands.dub import dub as command

    return run_alone(command)


if __name__ == "__main__":
    sys.exit(reported(main))
