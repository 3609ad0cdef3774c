"""Subtitle files as cues and back: SRT and ASS through pysubs2, WebVTT through webvtt-py.

What a file says must be spoken or refused, never dropped: pysubs2 takes a line of digits before a timing line
for a counter and a timing line that it cannot read for text, webvtt-py passes over what it cannot read.
"""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import pysubs2
import webvtt
from pysubs2.formats.subrip import SubripFormat
from pysubs2.time import TIMESTAMP
from webvtt.errors import MalformedCaptionError, MalformedFileError
from webvtt.models import Timestamp

from pipeline.errors import ConfigError, ManifestError, printable

MAX_BYTES = 8 * 2**20
MAX_CUES = 20_000
FORMATS = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ssa"}
_LONGEST_S = {"srt": 100 * 3600, "vtt": 1000 * 3600, "ass": 10 * 3600, "ssa": 10 * 3600}
_TIME = r"(?:\d{1,3}:)?\d{1,2}:\d{1,2}[.,]\d{1,3}"
_TIMING = {
    "srt": re.compile(rf"\s*\d{{1,2}}:(?=\d+:){_TIME}\s*-->\s*\d{{1,2}}:(?=\d+:){_TIME}(\s.*)?"),
    "vtt": re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(\s.*)?"),
}
_EVENT_COMMAS = 9  # of a Dialogue line of ASS and SSA; its text may hold more
_TAG = re.compile(r"\s*(?:[-–—]\s*)?(?:\[([^\[\]\n]{1,60})\]|([^\s:\[\]\-–—][^:\n\[\]]{0,59}):)\s+(?=\S)")
_DIRECTION = re.compile(r"\s*\([^()]*\)$")  # `ANNA (whispering)`
_DASH = re.compile(r"[-–—](?:\s+(?=\S)|(?=[^\W\d]))")  # of one who speaks; -5 is a number
# none of these goes back further than to the last bracket: a file made to be slow is not
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]+)>")
_MARKUP = re.compile(
    r"</?\s*[A-Za-z][^<>]*>|\{\\[^{}]*\}"
)  # of SRT: HTML, and `{\an8}` as its players obey it
_MAX_OVERRIDES = 500  # `{...}` in a line of ASS; pysubs2 takes the square of their number


@dataclass(frozen=True, slots=True)
class Cue:
    """What is said from `start_s` to `end_s`, seconds from the beginning. Lines are parted by `\\n`.

    number: the file's own, for people; else its place there from 1. It says nothing of the cue: equal cues
    may have two.
    """

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    number: int = field(default=0, compare=False)


def read_subtitles(data: bytes, name: str) -> list[Cue]:
    """The cues of an .srt, .vtt, .ass or .ssa file, by start, also those without text.

    Speakers: `<v Anna>`, the name column of ASS (else a style other than Default), or `[ANNA]` and `ANNA:`
    before the text, in capitals. Raises ManifestError: unknown suffix, above MAX_BYTES or MAX_CUES, no UTF-8
    or UTF-16, no cue, a line that cannot be read, times that run backwards, several speakers in one cue.
    """
    format = FORMATS.get(PurePosixPath(name).suffix.lower())
    if format is None:
        raise ManifestError(f"{name}: no subtitle file by its name; give one of {', '.join(FORMATS)}")
    if len(data) > MAX_BYTES:
        raise ManifestError(f"{name}: above {MAX_BYTES} bytes; split it")
    lines = decoded(data, name).splitlines()
    _refuse_unreadable(lines, format, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of colours and fonts
            found = list(_READERS[format](lines))
    except ManifestError as error:
        raise ManifestError(f"{name}: {error}") from None
    except (MalformedFileError, MalformedCaptionError) as error:
        raise ManifestError(f"{name}: not WebVTT ({_one_line(error)}); fix it") from error
    except (pysubs2.Pysubs2Error, ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise ManifestError(f"{name}: not {format.upper()} ({_one_line(error)}); fix it") from error
    return checked(found, name)


def checked(cues: Sequence[Cue], name: str) -> list[Cue]:
    """By start, with their tags as speakers. Raises ManifestError for no cues, too many, times that cannot
    be, and several speakers in one."""
    if not any(cue.text for cue in cues):
        raise ManifestError(f"{name}: holds no cue; name a file with times and texts")
    if len(cues) > MAX_CUES:
        raise ManifestError(f"{name}: {len(cues)} cues, at most {MAX_CUES} are read; split it")
    for cue in cues:
        if not 0 <= cue.start_s <= cue.end_s:
            where = f"{cue.start_s:.3f} to {cue.end_s:.3f} s ({_one_line(cue.text, 40)})"
            raise ManifestError(f"{name}: cue {cue.number} runs from {where}; fix its times")
    return sorted((_tagged(cue, name) for cue in cues), key=lambda cue: (cue.start_s, cue.end_s))


def subtitles_bytes(cues: Sequence[Cue], format: str) -> bytes:
    """A file of that format (`srt`, `vtt`, `ass`, `ssa`), UTF-8. Speakers are in all but SRT, which has no
    place for them but has the cues' numbers. Times are rounded to 1 ms, in ASS and SSA to 10 ms.

    Raises ConfigError for another format, and for times beyond what it can write.
    """
    if format not in FORMATS.values():
        raise ConfigError(f"subtitles as {format!r} are not known; use one of {', '.join(FORMATS.values())}")
    last_s = max((cue.end_s for cue in cues), default=0.0)
    if last_s >= _LONGEST_S[format]:
        raise ConfigError(f"{last_s:.0f} s is more than {format} subtitles can say; use vtt")
    cues = [replace(cue, text=_plain_lines(cue.text)) for cue in sorted(cues, key=lambda cue: cue.start_s)]
    if format == "srt":
        return _srt(cues)
    if format == "vtt":
        return _vtt(cues)
    file = pysubs2.SSAFile()
    for cue in cues:
        # braces are commands there, without an escape
        text = cue.text.replace("-->", "->").replace("{", "(").replace("}", ")").replace("\n", r"\N")
        event = pysubs2.SSAEvent(_ms(cue.start_s), _ms(cue.end_s), text)
        event.name = " ".join((cue.speaker or "").replace(",", ";").split())
        file.append(event)
    return file.to_string(format).encode()


def decoded(data: bytes, name: str) -> str:
    """Raises ManifestError for bytes that are neither UTF-8 nor UTF-16 with its mark."""
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{name}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def speaker_of(text: str) -> tuple[str | None, str]:
    """`[ANNA] Hello.` and `ANNA (whispering): Hello.` as (`ANNA`, `Hello.`); without capitals it is text:
    `[laugh]`."""
    tag = _TAG.match(text)
    name = "" if tag is None else _DIRECTION.sub("", (tag[1] or tag[2]).strip())
    if tag is None or name != name.upper() or not any(map(str.isalpha, name)):
        return None, text
    return name, text[tag.end() :]


def _refuse_unreadable(lines: Sequence[str], format: str, name: str) -> None:
    for number, line in enumerate(lines, start=1):
        if format in _TIMING:
            is_timing = "-->" in line or len(TIMESTAMP.findall(line)) == 2  # the latter to pysubs2
            fault = is_timing and not _TIMING[format].fullmatch(line)
        else:
            is_event = line.lstrip().startswith("Dialogue:")
            fault = is_event and (line.count(",") < _EVENT_COMMAS or line.count("{") > _MAX_OVERRIDES)
        if fault:
            raise ManifestError(f"{name}: line {number} cannot be read ({_one_line(line, 60)}); fix it")


def _read_srt(lines: Sequence[str]) -> Iterator[Cue]:
    counted, numbers = [""], []
    for line in lines:
        if "-->" in line:
            if not counted[-1].isdigit():
                counted.append("0")
            numbers.append(counted[-1])
        if line.strip() or counted[-1]:
            counted.append(line.strip())
    # the last cue, too, is followed by a counter: what pysubs2 takes away from a text is never a line of it
    file = pysubs2.SSAFile.from_string("\n".join([*counted, "", "0"]), "srt", keep_html_tags=True)
    if len({*numbers}) < len(numbers):  # left out, or of two files
        numbers = [str(place) for place in range(1, len(numbers) + 1)]
    for event, number in zip(file, numbers, strict=True):
        text = _plain_lines(_MARKUP.sub("", event.text.replace(r"\N", "\n")))
        yield Cue(event.start / 1000, event.end / 1000, text, number=int(number))


def _read_ass(lines: Sequence[str], format: str) -> Iterator[Cue]:
    events = pysubs2.SSAFile.from_string("\n".join(lines), format).get_text_events()
    for number, event in enumerate(events, start=1):
        speaker = event.name.strip() or (event.style.strip() if event.style.strip("*") != "Default" else None)
        text = _plain_lines(event.plaintext)
        yield Cue(event.start / 1000, event.end / 1000, text, speaker or None, number)


def _read_vtt(lines: Sequence[str]) -> Iterator[Cue]:
    for number, caption in enumerate(webvtt.from_string("\n".join(lines)).captions, start=1):
        start, end = (time.in_milliseconds() / 1000 for time in (caption.start_time, caption.end_time))
        voices = list(
            dict.fromkeys(html.unescape(voice).strip() for voice in _VOICE.findall(caption.raw_text))
        )
        if len(voices) > 1:
            raise ManifestError(_several(number, start, voices))
        text = _plain_lines(html.unescape(caption.text))
        yield Cue(start, end, text, voices[0] if voices else None, number)


_READERS: dict[str, Callable[[Sequence[str]], Iterator[Cue]]] = {
    "srt": _read_srt,
    "vtt": _read_vtt,
    "ass": lambda lines: _read_ass(lines, "ass"),
    "ssa": lambda lines: _read_ass(lines, "ssa"),
}


def _tagged(cue: Cue, file: str) -> Cue:
    """Without the dash before its text; the tag there is its speaker, where nothing else names one."""
    lines = cue.text.split("\n")
    said = [speaker_of(line) if cue.speaker is None else (None, line) for line in lines]
    names = list(dict.fromkeys(name for name, _ in said if name is not None))
    if len(names) > 1 or (names and said[0][0] is None):
        raise ManifestError(f"{file}: {_several(cue.number, cue.start_s, names)}")
    dashed = [name for line, (name, _) in zip(lines, said, strict=True) if _DASH.match(line)]
    if len(dashed) > 1 and None in dashed:
        told = _several(cue.number, cue.start_s, ["lines that begin with a dash"])
        raise ManifestError(f"{file}: {told}")
    if not names:
        dash = _DASH.match(cue.text)
        return cue if dash is None else replace(cue, text=cue.text[dash.end() :])
    return replace(cue, text="\n".join(text for _, text in said), speaker=names[0])


def _several(number: int, start_s: float, names: Sequence[str]) -> str:
    told = ", ".join(printable(name) for name in names)
    return f"cue {number} at {start_s:.3f} s has several speakers ({told}); give each a cue of its own"


def _srt(cues: Sequence[Cue]) -> bytes:
    blocks = []
    for place, cue in enumerate(cues, start=1):
        start, end = (SubripFormat.ms_to_timestamp(_ms(at)) for at in (cue.start_s, cue.end_s))
        text = cue.text.replace("-->", "->")
        blocks.append(f"{cue.number or place}\n{start} --> {end}\n{text}\n")
    return "\n".join(blocks).encode()


def _vtt(cues: Sequence[Cue]) -> bytes:
    file = webvtt.WebVTT()
    for cue in cues:
        text = html.escape(cue.text, quote=False)
        if cue.speaker:
            text = f"<v {html.escape(' '.join(cue.speaker.split()), quote=False)}>{text}"
        start, end = (str(Timestamp.from_seconds(_ms(at) / 1000)) for at in (cue.start_s, cue.end_s))
        file.captions.append(webvtt.Caption(start, end, text))
    return (file.content + "\n").encode()


def _plain_lines(text: str) -> str:
    """Without blank lines, which end a cue, and blanks at the ends of lines."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _one_line(said: object, chars: int = 200) -> str:
    return printable(" ".join(str(said).split())[:chars])
