"""`voicemill narrate` and `voicemill redo`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from pipeline.command_options import Assignments, JobFile, TakeOver, resources_over, settings_of
from pipeline.errors import ConfigError, RowError
from pipeline.extras import require_studio

_MAX_FILE_BYTES = 8 * 2**20


def narrate(
    book: Annotated[
        str, typer.Argument(metavar="BOOK", help="Plain text, Markdown, HTML or EPUB; a path or URI.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="Folder of the narration: a path or URI. Reuse the same folder to resume."
        ),
    ],
    ref: Annotated[
        str | None, typer.Option("--ref", help="Recording of the narrator: a path or URI.")
    ] = None,
    ref_text: Annotated[str | None, typer.Option("--ref-text", help="Transcript of the recording.")] = None,
    consent_id: Annotated[
        str | None,
        typer.Option("--consent-id", help="Consent record for the voice, if the job requires one."),
    ] = None,
    voices: Annotated[
        str | None,
        typer.Option(
            "--voices",
            help="Instead of --ref: TOML with one table per voice; the one named default narrates.",
        ),
    ] = None,
    lexicon: Annotated[
        str | None, typer.Option("--lexicon", help='TOML of "as written" = "as spoken".')
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Title; the book's own unless given.")] = None,
    author: Annotated[
        str | None, typer.Option("--author", help="Author; the book's own unless given.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("--language", help="BCP 47 tag; the book's own unless given, else check.language."),
    ] = None,
    numbers: Annotated[
        bool,
        typer.Option(
            "--numbers/--digits",
            help="Speak numbers, money, dates and units as words, or leave them as digits.",
        ),
    ] = True,
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="m4b, mp3, opus, flac or wav; repeatable; m4b unless given. All but m4b also by chapter.",
        ),
    ] = None,
    subtitles: Annotated[
        list[str] | None, typer.Option("--subtitles", help="srt or vtt; repeatable; srt unless given.")
    ] = None,
    lufs: Annotated[
        float, typer.Option("--lufs", help="Programme loudness in LUFS, such as -23, -19 or -16.")
    ] = -19.0,
    max_segment_s: Annotated[
        float | None,
        typer.Option(
            "--max-segment-s",
            help="Longest segment, in seconds; 15 unless given, 4 for voicemill-mini.",
        ),
    ] = None,
    pause: Annotated[
        list[str] | None,
        typer.Option(
            "--pause",
            metavar="NAME=SECONDS",
            help="clause=0.1, sentence=0.3, paragraph=0.7, heading=1.2, scene=2 or chapter=2.5; repeatable.",
        ),
    ] = None,
    missing: Annotated[
        str,
        typer.Option(
            "--missing",
            help="What to do with failed or rejected segments: leave a gap, or stop without audio.",
        ),
    ] = "gap",
    gap_s: Annotated[float, typer.Option("--gap-s", help="Length of such a gap, in seconds.")] = 1.0,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            help="Preceding segments (same voice) kept in the prompt; 2 unless given, 0 for voicemill-mini.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only show the chapters, and what is spoken differently from the text."),
    ] = False,
    config: JobFile = None,
    set_: Assignments = None,
    take_over: TakeOver = False,
) -> None:
    """Speak a book: M4B with chapters, even loudness, subtitles and a report. Run it again to resume.

    Example: `voicemill narrate book.epub --ref voices/anna.flac --out books/mine`
    """
    require_studio("narrate")
    from jobs import narration as job
    from pipeline.engine.model_files import is_own
    from pipeline.narration.lexicon import read_lexicon
    from pipeline.narration.options import NarrationOptions, missing_policy, pauses_from
    from pipeline.narration.report import print_narration
    from pipeline.narration.voices import one_voice, read_voices

    if (ref is None) == (voices is None):
        raise ConfigError("give the narrator's recording (--ref), or a file of voices (--voices)")
    for name, value in (("--ref-text", ref_text), ("--consent-id", consent_id)):
        if voices is not None and value is not None:
            raise ConfigError(f"{name} goes with --ref; in --voices it stands beside each ref")
    settings = settings_of(config, set_)
    # our own have not learned to go on from a segment, nor more than some 70 characters
    own_context, own_length = (0, 4.0) if is_own(settings.model.checkpoint) else (2, 15.0)
    options = NarrationOptions(
        title=title,
        author=author,
        language=language,
        numbers=numbers,
        max_segment_s=own_length if max_segment_s is None else max_segment_s,
        pauses=pauses_from(pause or ()),
        formats=tuple(dict.fromkeys(format or ["m4b"])),
        subtitles=tuple(dict.fromkeys(subtitles or ["srt"])),
        lufs=lufs,
        missing=missing_policy(missing),
        gap_s=gap_s,
        context=own_context if context is None else context,
    )
    cast = (
        job.Cast(read_voices(_read(voices), voices), voices)
        if voices
        else job.Cast(one_voice(ref or "", ref_text, consent_id), "")
    )
    words = read_lexicon(_read(lexicon), lexicon) if lexicon else {}
    console = Console(soft_wrap=False)
    if check:
        job.check(book, cast, words, options, settings, console)
        return
    report = job.narrate(book, out, cast, words, options, settings, console, take_over=take_over)
    print_narration(console, report, out)
    raise typer.Exit(1 if report["missing"] else 0)


def redo(
    out: Annotated[str, typer.Argument(metavar="NARRATION", help="The --out of a `voicemill narrate`.")],
    segments: Annotated[
        list[str] | None,
        typer.Argument(metavar="SEGMENT", help="Segment ids such as ch03-0041, from report.json."),
    ] = None,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="Also all segments that failed, were rejected or were never spoken."),
    ] = False,
    config: JobFile = None,
    set_: Assignments = None,
    take_over: TakeOver = False,
) -> None:
    """Speak segments of a narration again, with new seeds, and rebuild it; all other segments stay.

    Example: `voicemill redo books/mine ch03-0041 ch03-0042`
    """
    require_studio("redo")
    from jobs import narration as job
    from pipeline.narration.report import print_narration

    settings = resources_over(job.kept_config(out), config, set_, "redo")
    console = Console(soft_wrap=False)
    report = job.redo(out, segments or [], settings, console, missing=missing, take_over=take_over)
    print_narration(console, report, out)
    raise typer.Exit(1 if report["missing"] else 0)


def _read(uri: str) -> bytes:
    """What the command line names. Raises ConfigError."""
    from pipeline.storage import read_uri

    try:
        return read_uri(uri, _MAX_FILE_BYTES)
    except RowError as error:
        raise ConfigError(error.message) from error
