"""Placements -> clips, track, stems, subtitles, mix, picture, report. What stands is not made again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from typing import Any

from pipeline.audio import Waveform, decode_audio, encode_flac, resample
from pipeline.dubbing.fit import Fit, Take
from pipeline.dubbing.mix import below_full_scale, mixed
from pipeline.dubbing.mux import VIDEO_FORMATS, muxed, muxed_suffix
from pipeline.dubbing.place import Placement
from pipeline.dubbing.project import Project, digest_of, stems_of, subtitle_format
from pipeline.dubbing.report import report_csv, report_json, reports_of
from pipeline.dubbing.stretch import exactly, stretched
from pipeline.dubbing.takes import read_sound
from pipeline.programme.flac import put_flac
from pipeline.programme.media import Channels, sound_blocks
from pipeline.programme.subtitles import FORMATS, Cue, subtitles_bytes
from pipeline.programme.telling import Say, silent, telling
from pipeline.programme.timeline import Clip, Samples, faded, sample_at, track_blocks
from pipeline.run import read_run
from pipeline.storage import Store

REPORT, TABLE = "report.json", "report.csv"
TRACK, MIX = "track.flac", "mix.flac"
_WRITTEN = re.compile(
    rf"(clips|stems)/.*|(track|mix)\.flac|subtitles\.({'|'.join(FORMATS.values())})"
    rf"|dubbed\.({'|'.join(VIDEO_FORMATS)})|report\.csv"
)
_CUT_FADE_S = 0.03


def assemble(project: Project, placements: Sequence[Placement], say: Say = silent) -> dict[str, Any]:
    """Writes what is handed on, the JSON report last, and returns that."""
    store, rate = project.store, project.sample_rate
    store.delete(REPORT)
    on_track = [each for each in placements if each.placed]
    _write_clips(project, on_track)

    def walk(blocks: Iterator[Samples], key: str) -> Iterator[Samples]:
        return telling(blocks, key, project.length / rate / 60, rate, say)

    speech = partial(_track, project, on_track)
    # several voices at once may be too much for one track
    whole = below_full_scale(speech) if _has_crosstalk(on_track) else speech()
    put_flac(store, TRACK, walk(whole, TRACK), rate)
    stems = stems_of([each.line.cue for each in placements])
    for speaker, key in stems.items():
        of = [each for each in on_track if each.speaker == speaker]
        put_flac(store, key, walk(_track(project, of), key), rate)
    files = {"track": TRACK, "subtitles": f"subtitles.{subtitle_format(project.options)}"}
    store.put(files["subtitles"], _subtitles(project, placements))
    if project.options.bed is not None:
        files["mix"] = MIX
        put_flac(store, MIX, walk(_mix(project, on_track, project.options.bed), MIX), rate, channels=2)
    if (original := project.options.original) is not None and project.options.video:
        suffix = muxed_suffix(original)
        files["video"] = f"dubbed.{suffix}"
        store.put(files["video"], muxed(original, f"{store.uri}/{files.get('mix', TRACK)}", suffix))
    reports = reports_of(project.cues, placements, rate)
    files["table"] = TABLE
    store.put(TABLE, report_csv(reports))
    _remove_others(store, {*files.values(), *stems.values(), *(each.clip_key for each in on_track)})
    facts = {
        "made_from": _made_from(project, placements),
        "sample_rate": rate,
        "samples": project.length,
        "seconds": project.length / rate,
        "stretch_bound": project.options.stretch,
        "made_by": _models(on_track),
        "files": files,
        "stems": stems,
    }
    store.put(REPORT, report_json(facts, reports))
    return dict(json.loads(store.get(REPORT)))


def standing(project: Project, placements: Sequence[Placement]) -> dict[str, Any] | None:
    """The report there is, if `assemble` would write the same and all that it names is there."""
    store = project.store
    if not store.exists(REPORT):
        return None
    report: dict[str, Any] = json.loads(store.get(REPORT))
    files = [*report["files"].values(), *report["stems"].values()]
    files += [cue["clip"] for cue in report["cues"] if cue["clip"]]
    if report["made_from"] != _made_from(project, placements):
        return None
    return report if {*files} <= {*store.list()} else None


def _models(placements: Sequence[Placement]) -> list[str]:
    takes = [each.chosen[0] for each in placements if each.chosen]
    return sorted({take.model for take in takes if take.model})


def _remove_others(store: Store, written: Collection[str]) -> None:
    """What an earlier call made of other cues or options would pass for a part of this dub."""
    for key in list(store.list()):
        if _WRITTEN.fullmatch(key) and key not in written:
            store.delete(key)


def as_placed(sound: Waveform, take: Take, fit: Fit, sample_rate: int) -> Samples:
    """A take's speech at the track's rate and its fit's length, its ends faded."""
    begin, end = (sample_at(at, sound.sample_rate) for at in (take.start_s, take.end_s))
    speech = resample(Waveform(sound.samples[begin:end], sound.sample_rate), sample_rate).samples
    at_pace = stretched(speech, sample_rate, fit.spoken) if fit.pace > 1 else exactly(speech, fit.spoken)
    if fit.lost:
        return faded(at_pace[: fit.placed], sample_rate, out_s=_CUT_FADE_S)
    return faded(at_pace, sample_rate)


def _write_clips(project: Project, placements: Sequence[Placement]) -> None:
    """As files: what a studio moves by hand, and what keeps hours of sound out of memory here."""
    for run in sorted({each.run for each in placements}):
        wanted = {each.chosen[0].utterance_id: each for each in placements if each.run == run and each.chosen}
        for take_id, data in read_sound(project.run_uri(run), wanted):
            chosen = wanted[take_id].chosen
            assert chosen is not None, "only chosen takes are wanted"
            samples = as_placed(decode_audio(data), *chosen, project.sample_rate)
            clip = encode_flac(Waveform(samples, project.sample_rate))
            project.store.put(wanted[take_id].clip_key, clip)


def _track(project: Project, placements: Sequence[Placement]) -> Iterator[Samples]:
    clips = (
        Clip(each.slot.start, decode_audio(project.store.get(each.clip_key)).samples) for each in placements
    )
    return track_blocks(clips, project.length)


def _has_crosstalk(on_track: Sequence[Placement]) -> bool:
    return any(one.slot.start + one.placed > two.slot.start for one, two in pairwise(on_track))


def _mix(project: Project, on_track: Sequence[Placement], bed: str) -> Iterator[Channels]:
    rate = project.sample_rate
    return mixed(
        lambda: _track(project, on_track),
        lambda: sound_blocks(bed, rate, project.length),
        [(each.slot.start, each.slot.start + each.placed) for each in on_track],
        rate,
        project.options.depth_db,
    )


def _subtitles(project: Project, placements: Sequence[Placement]) -> bytes:
    """Those that lie on the track with the times they have there; none of what had no room on it."""
    rate = project.sample_rate
    times = {
        each.line.cue.number: (each.slot.start, each.slot.start + each.placed)
        for each in placements
        if each.placed
    }

    def real(cue: Cue) -> Cue:
        if cue.number not in times:
            return cue
        start, end = times[cue.number]
        return replace(cue, start_s=start / rate, end_s=end / rate)

    unplaced = {each.line.cue.number for each in placements if each.chosen and not each.placed}
    cues = [real(cue) for cue in project.cues if cue.text and cue.number not in unplaced]
    return subtitles_bytes(cues, subtitle_format(project.options))


def _made_from(project: Project, placements: Sequence[Placement]) -> str:
    """Changes with anything that changes what is written."""
    options = project.options
    named = [uri for uri in (options.bed, options.original if options.video else None) if uri is not None]
    runs = sorted({each.run for each in placements if each.run})
    parts = {
        "cues": [asdict(cue) for cue in project.cues],
        "track": [project.sample_rate, project.length],
        "choices": [[each.line.cue.number, each.takes, each.fault, asdict(each.slot)] for each in placements],
        "takes": [[asdict(part) for part in each.chosen or ()] for each in placements],
        "runs": [read_run(project.run_uri(run))["fingerprint"] for run in runs],
        "options": [options.depth_db if options.bed else None, options.video, subtitle_format(options)],
        "files": [[uri, digest_of(uri)] for uri in named],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
