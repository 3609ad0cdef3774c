"""A dub's folder and what it is made from: cues, references, the track's rate and length.

dub.json              written first: whose folder it is
voices/               the references, named by their content
rounds/1.jsonl        the manifest of the first run; 2.jsonl is of the cues that were too long
runs/1, runs/2        ordinary runs of voicemill
clips/                each cue's sound as it lies on the track
track.flac stems/ subtitles.* mix.flac dubbed.*
report.csv report.json   every cue's fit; the JSON is written last
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pipeline.audio import can_resample, encode_flac
from pipeline.config import CheckConfig, RunConfig
from pipeline.destination import open_destination
from pipeline.dubbing.cue_sheet import columns_from, read_cue_sheet
from pipeline.dubbing.fit import Slot, slots_of
from pipeline.dubbing.takes import Line, is_speakable, lines_of
from pipeline.dubbing.voices import Voice, read_voices, refuse_unvoiced, voice_of
from pipeline.errors import ConfigError, ManifestError, RowError, RunConflictError
from pipeline.preflight import prompt_limits
from pipeline.programme.media import MAX_HOURS, Media, cut, look_at_media
from pipeline.programme.references import Reference, keep_bytes, keep_reference
from pipeline.programme.subtitles import FORMATS, MAX_BYTES, Cue, read_subtitles
from pipeline.programme.telling import Say, silent
from pipeline.programme.timeline import sample_at
from pipeline.stages.check_prompt import check_prompt
from pipeline.storage import Store, open_uri, read_uri
from pipeline.uris import shown

MARK = "dub.json"
MAX_VIDEO_BYTES = 4 * 2**30  # the muxed file is made in memory
_VOICES_BYTES = 2**20
_USUAL_RATE = 24_000  # of speech models


@dataclass(frozen=True, slots=True)
class DubOptions:
    """What a dub is asked for. Times in seconds; `columns` are of a cue sheet, see cue_sheet.py."""

    subtitles: str
    voices: str
    original: str | None = None  # audio or video: length, sample rate, references, the picture
    length_s: float | None = None  # where there is no original
    sample_rate: int = 48_000  # where the original does not say
    columns: tuple[str, ...] = ()
    takes: int = 2
    takes_again: int = 4
    stretch: float = 1.15
    bed: str | None = None
    duck_db: float | None = None  # see depth_db
    video: bool = False
    crosstalk: bool = False  # see slots_of

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("--takes", self.takes, 1, 100),
            ("--takes-again", self.takes_again, 0, 100),
            ("--stretch", self.stretch, 1.0, 2.0),
            ("--duck-db", self.depth_db, 0.0, 60.0),
            ("--sample-rate", self.sample_rate, 8_000, 192_000),
            ("--length", 1.0 if self.length_s is None else self.length_s, 0.001, MAX_HOURS * 3600.0),
        ):
            if not least <= value <= most:
                raise ConfigError(f"{name} {value:g}: give {least:g} to {most:g}")
        if self.original is not None and self.length_s is not None:
            raise ConfigError("--original and --length: the track is as long as the original; leave one out")
        if self.original is None and self.length_s is None:
            raise ConfigError("give the original (--original), or the track's length in seconds (--length)")
        if self.video and self.original is None:
            raise ConfigError("--video needs the picture: name it with --original")
        if self.duck_db is not None and self.bed is None:
            raise ConfigError("--duck-db is how far a bed is lowered: name one with --bed, or leave it out")

    @property
    def depth_db(self) -> float:
        """How far the bed is lowered."""
        return 12.0 if self.duck_db is None else self.duck_db


@dataclass(frozen=True, slots=True)
class Project:
    """All cues, and those with words as lines, each with its slot on a track of `length` samples."""

    store: Store
    options: DubOptions
    cues: list[Cue]
    lines: list[Line]
    slots: list[Slot]  # of the lines
    sample_rate: int
    length: int

    def run_uri(self, number: int) -> str:
        return f"{self.store.uri}/runs/{number}"

    def manifest_uri(self, number: int) -> str:
        return f"{self.store.uri}/{self.manifest_key(number)}"

    @staticmethod
    def manifest_key(number: int) -> str:
        return f"rounds/{number}.jsonl"


def open_project(out: str, options: DubOptions, config: RunConfig, say: Say = silent) -> Project:
    """Reads all that is named and keeps the references in `out`. Raises ConfigError, ManifestError,
    RunConflictError for a folder of other things, StorageError."""
    store = open_destination(out)
    if not store.exists(MARK) and (other := next(store.list(), None)) is not None:
        raise RunConflictError(f"{out} holds {other} and no dub; name an empty or a new folder")
    cues = _read_cues(options)
    voices = read_voices(_read(options.voices, _VOICES_BYTES), shown(options.voices))
    refuse_unvoiced([cue for cue in cues if is_speakable(cue.text)], voices, shown(options.voices))
    sample_rate, length = _track(options)
    _refuse_beyond_end(cues, sample_rate, length)
    if options.bed is not None:
        _look_at_bed(options.bed, length / sample_rate, say)
    store.put(MARK, json.dumps({"subtitles": shown(options.subtitles)}).encode())
    references: dict[Voice, Reference] = {}
    named, pairs = [], []
    for cue in cues:
        voice = voice_of(cue, voices)
        # `Anna` and `ANNA` are one speaker, as the voices write it
        named.append(replace(cue, speaker=voice.speaker) if voice and cue.speaker else cue)
        if not is_speakable(cue.text):
            continue
        assert voice is not None, "refused above"
        if voice not in references:
            references[voice] = _keep_reference(store, voice, options, config)
        pairs.append((named[-1], references[voice]))
    lines = lines_of(pairs)
    if not lines:
        raise ManifestError(
            f"{shown(options.subtitles)}: no cue has a letter or a digit; nothing is to be spoken"
        )
    spoken = [line.cue for line in lines]
    slots = slots_of(spoken, sample_rate, length, crosstalk=options.crosstalk)
    if not options.crosstalk and (over := _talking_over(spoken, slots, sample_rate, length)):
        say(f"cues into which another speaker's begin: {over}; they end there (--crosstalk lets both sound)")
    return Project(store, options, named, lines, slots, sample_rate, length)


def _talking_over(cues: Sequence[Cue], slots: Sequence[Slot], sample_rate: int, length: int) -> int:
    """How many would have more time beside the other speakers."""
    beside = slots_of(cues, sample_rate, length, crosstalk=True)
    return sum(one.length > two.length for one, two in zip(beside, slots, strict=True))


def _read_cues(options: DubOptions) -> list[Cue]:
    data, name = _read(options.subtitles, MAX_BYTES), shown(options.subtitles)
    if PurePosixPath(options.subtitles).suffix.lower() in (".csv", ".tsv"):
        return read_cue_sheet(data, name, columns_from(options.columns))
    if options.columns:
        raise ConfigError(f"--column is for a cue sheet (.csv); {name} has no columns")
    return read_subtitles(data, name)


def _track(options: DubOptions) -> tuple[int, int]:
    """The sample rate and the length in samples."""
    rate, samples = options.sample_rate, None
    if options.original is not None:
        media = look_at_media(options.original)
        if options.video:
            _refuse_unmuxable(options.original, media)
        seconds = media.seconds
        if media.sample_rate is not None:
            rate, samples = media.sample_rate, media.samples
    else:
        assert options.length_s is not None, "one of the two is given"
        seconds = options.length_s
    if not can_resample(_USUAL_RATE, rate):
        raise ConfigError(f"a track of {rate} Hz: no usual sample rate; resample the original")
    return rate, sample_at(seconds, rate) if samples is None else samples


def _refuse_beyond_end(cues: Sequence[Cue], sample_rate: int, length: int) -> None:
    beyond = [cue for cue in cues if cue.text and sample_at(cue.start_s, sample_rate) >= length]
    if beyond:
        first = beyond[0]
        raise ConfigError(
            f"the track ends at {length / sample_rate:.3f} s, and cues that begin there or later: "
            f"{len(beyond)}, the first is cue {first.number} at {first.start_s:.3f} s; name the original of "
            "these subtitles, or give a longer --length"
        )


def _look_at_bed(uri: str, track_s: float, say: Say) -> None:
    """All of it, before anything is spoken: what cannot be mixed would be found out hours later."""
    media = look_at_media(uri)
    if media.sample_rate is None:
        raise ConfigError(f"--bed: {shown(uri)} holds no sound; name a file with some")
    if media.seconds < track_s:
        ends = f"ends at {media.seconds:.3f} s, the track at {track_s:.3f} s"
        say(f"--bed: {shown(uri)} {ends}; behind it the mix is speech alone")


def _refuse_unmuxable(uri: str, media: Media) -> None:
    if not media.has_video:
        raise ConfigError(f"--video: {shown(uri)} has no picture; leave it out")
    with open_uri(uri) as file:
        size = file.seek(0, io.SEEK_END)
    if size > MAX_VIDEO_BYTES:
        raise ConfigError(
            f"--video: {shown(uri)} is above {MAX_VIDEO_BYTES} bytes; leave it out, and add track.flac by "
            "ffmpeg -i VIDEO -i track.flac -map 0:v -map 1:a -c:v copy OUT"
        )


def subtitle_format(options: DubOptions) -> str:
    """That of the subtitles given; SRT for a cue sheet."""
    return FORMATS.get(PurePosixPath(options.subtitles).suffix.lower(), "srt")


def digest_of(uri: str) -> str:
    """Of all that it holds: a bed that was mixed anew has the size of the old one."""
    digest = hashlib.sha256()
    with open_uri(uri) as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _keep_reference(store: Store, voice: Voice, options: DubOptions, config: RunConfig) -> Reference:
    where = f"{shown(options.voices)}: [{voice.speaker}]"
    if voice.ref is None:
        if options.original is None:
            raise ConfigError(f"{where}: from and to are of the original; name it with --original")
        if voice.end_s - voice.start_s > config.check.max_prompt_s:
            raise ConfigError(f"{where}: a reference has at most {config.check.max_prompt_s:g} s")
        named = f"from {voice.start_s:g} to {voice.end_s:g} s of the original"
        cut_out = cut(options.original, voice.start_s, voice.end_s)
        key = keep_bytes(store, encode_flac(cut_out), ".flac")
    else:
        named = voice.ref
        key = keep_reference(store, options.voices, voice.ref, config.check, where)
    _refuse_unusable(store.get(key), config.check, f"{where}: {named}")
    return Reference(key, voice.ref_text, voice.consent_id)


def _refuse_unusable(data: bytes, check: CheckConfig, where: str) -> None:
    """Raises ConfigError for what every row of the speaker would fail for."""
    try:
        faults = check_prompt(data, prompt_limits(check)).faults
    except RowError as error:
        raise ConfigError(f"{where}: {error.code}: {error.message}") from error
    if faults:
        raise ConfigError(f"{where}: {'; '.join(f'{fault.code}: {fault.message}' for fault in faults)}")


def _read(uri: str, most: int) -> bytes:
    """What the command line names. Raises ConfigError."""
    try:
        return read_uri(uri, most)
    except RowError as error:
        raise ConfigError(error.message) from error


def stems_of(cues: Sequence[Cue]) -> Mapping[str, str]:
    """Speaker to the key of its stem. Names are untrusted: what is left of them is only to be recognised."""
    speakers = list(dict.fromkeys(cue.speaker or "" for cue in cues))
    return {
        speaker: f"stems/{number:02d}{'-' * bool(plain := plain_name(speaker))}{plain}.flac"
        for number, speaker in enumerate(speakers, start=1)
    }


def plain_name(speaker: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in speaker).split())[:40].lower()
