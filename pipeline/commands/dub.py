"""`voicemill dub`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline.command_options import Assignments, JobFile, TakeOver, settings_of
from pipeline.extras import require_studio

_FAULTS_SHOWN = 20


def dub(
    subtitles: Annotated[
        str, typer.Argument(metavar="SUBTITLES", help="SRT, VTT, ASS, or a cue sheet (CSV); a path or URI.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="Folder of the dub: a path or URI. Reuse the same folder to resume."
        ),
    ],
    voices: Annotated[
        str,
        typer.Option("--voices", help="TOML with one table per speaker: ref and ref_text, or from and to."),
    ],
    original: Annotated[
        str | None,
        typer.Option(
            "--original", help="Original audio or video: sets length and sample rate, may supply voices."
        ),
    ] = None,
    length: Annotated[
        float | None, typer.Option("--length", help="Track length in seconds, without an original.")
    ] = None,
    sample_rate: Annotated[
        int, typer.Option("--sample-rate", help="Track sample rate in Hz, if the original has no sound.")
    ] = 48_000,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="FIELD=COLUMN",
            help="Cue sheet column for start, end, text or speaker; repeatable.",
        ),
    ] = None,
    takes: Annotated[int, typer.Option("--takes", help="Takes spoken per cue.")] = 2,
    takes_again: Annotated[
        int, typer.Option("--takes-again", help="Extra takes of cues that are too long.")
    ] = 4,
    stretch: Annotated[
        float, typer.Option("--stretch", help="Highest speed-up of a take, at constant pitch.")
    ] = 1.15,
    crosstalk: Annotated[
        bool,
        typer.Option("--crosstalk", help="Let different speakers overlap where their cues do."),
    ] = False,
    bed: Annotated[
        str | None,
        typer.Option(
            "--bed", help="Music and effects track: also write mix.flac, with the bed ducked under speech."
        ),
    ] = None,
    duck_db: Annotated[
        float | None,
        typer.Option("--duck-db", help="How far the bed is lowered under speech, in dB; 12 unless given."),
    ] = None,
    video: Annotated[
        bool, typer.Option("--video", help="Also write the original's video with the new sound.")
    ] = False,
    config: JobFile = None,
    set_: Assignments = None,
    take_over: TakeOver = False,
) -> None:
    """Dub subtitles: one track of the original's length, with stems, subtitles and a report.

    Example: `voicemill dub film.srt --voices voices.toml --original film.mp4 --out dubs/film`
    """
    require_studio("dub")
    from jobs.dubbing import dub as dubbed
    from pipeline.dubbing.project import DubOptions

    console = Console(soft_wrap=False)
    options = DubOptions(
        subtitles,
        voices,
        original=original,
        length_s=length,
        sample_rate=sample_rate,
        columns=tuple(column or ()),
        takes=takes,
        takes_again=takes_again,
        stretch=stretch,
        bed=bed,
        duck_db=duck_db,
        video=video,
        crosstalk=crosstalk,
    )
    report = dubbed(out, options, settings_of(config, set_), console, take_over=take_over)
    raise typer.Exit(1 if print_dub(console, report, out) else 0)


def print_dub(console: Console, report: dict[str, Any], out: str) -> int:
    """The cues that need a person, then where everything is. Returns how many those are."""
    from pipeline.dubbing.report import FAULTS
    from pipeline.programme.heard import REMEDY, badly_heard, print_notes
    from pipeline.views import say

    faulty = [cue for cue in report["cues"] if cue["fit"] in FAULTS]
    for cue in faulty[:_FAULTS_SHOWN]:
        where = f"cue {cue['cue']} at {cue['start_s']:.3f} s"
        say(console, f"{where}: {cue['fit'].replace('_', ' ')}: {_why(cue)} ({cue['text'][:60]!r})")
    if len(faulty) > _FAULTS_SHOWN:
        say(console, f"... and {len(faulty) - _FAULTS_SHOWN} more, in {out}/report.csv")
    counts = ", ".join(f"{count} {fit.replace('_', ' ')}" for fit, count in report["counts"].items() if count)
    warned = sum(1 for cue in report["cues"] if cue["passed"] is False)
    say(console, f"cues       {counts}" + (f"; {warned} did not pass their gates" if warned else ""))
    say(
        console,
        f"length     {report['seconds']:.3f} s, {report['samples']} samples at {report['sample_rate']} Hz",
    )
    for name, file in report["files"].items():
        say(console, f"{name:<10} {out}/{file}")
    say(console, f"stems      {out}/stems: {', '.join(speaker or '(none)' for speaker in report['stems'])}")
    say(console, f"report     {out}/report.json")
    bad, worst = badly_heard({f"cue {cue['cue']}": cue["error_rate"] or 0.0 for cue in report["cues"]})
    if bad:
        say(console, f"cues with more than half of the words heard wrong: {bad}, such as {worst}: {REMEDY}")
    print_notes(console, report["made_by"])
    return len(faulty)


def _why(cue: dict[str, Any]) -> str:
    if cue["fit"] == "missing":
        return str(cue["reasons"])
    if cue["fit"] == "no_room":
        return "another cue begins with it; move one of them"
    return f"{cue['cut_s']:.2f} s are cut off; shorten the text, or give it more time"
