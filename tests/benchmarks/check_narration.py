"""A finished narration, looked at from outside: what is in the files against what the report says.

    python tests/benchmarks/check_narration.py OUT [--heard 200] [--jobs 2]

Prints one JSON object. Of all segments: whether each is there once and in order, and the times and
texts of its subtitles. Of the programme: its length, loudness (ffmpeg's ebur128, an EBU R128 meter that is not
ours) and chapter marks. Of `--heard` segments, evenly spread, what an ASR hears in the programme at their
times: whether it is nearer to the segment's own text than to those of its four neighbours.
"""

from __future__ import annotations

import argparse
import itertools
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import av.filter
import numpy as np
import pysubs2
import rapidfuzz.distance

from pipeline.audio import Waveform
from pipeline.evaluators import load_transcriber
from pipeline.metrics.normalizers import normalizer_for

BLOCK_S = 0.05


def programme(path: Path) -> tuple[np.ndarray, int, float, list[tuple[float, str]]]:
    """Mono samples as int16, their rate, integrated LUFS by ffmpeg, and the chapter marks."""
    blocks, graph = [], None
    lufs = float("nan")
    with av.open(str(path)) as container:
        marks = [
            (float(each["start"] * each["time_base"]), each["metadata"].get("title", ""))
            for each in container.chapters()
        ]
        for frame in container.decode(audio=0):
            if graph is None:
                graph = av.filter.Graph()
                source = graph.add_abuffer(template=container.streams.audio[0])
                meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
                source.link_to(meter)
                meter.link_to(sink)
                graph.configure()
            samples = frame.to_ndarray().reshape(-1)
            scaled = samples if samples.dtype == np.int16 else np.clip(samples, -1, 1) * 32767
            blocks.append(scaled.astype(np.int16))
            graph.push(frame)
            while True:
                try:
                    lufs = float(graph.pull().metadata.get("lavfi.r128.I", lufs))
                except (av.error.BlockingIOError, av.error.EOFError):
                    break
        rate = container.streams.audio[0].rate
    return np.concatenate(blocks), rate, lufs, marks


def hear(clips: list[tuple[str, np.ndarray, int]]) -> dict[str, str]:
    transcriber = load_transcriber("demo:pocketsphinx")
    assert transcriber is not None
    waveforms = [Waveform(clip.astype(np.float32) / 32768, rate) for _, clip, rate in clips]
    heard = transcriber.transcribe(waveforms, ["en"] * len(clips))
    return {name: found.text or "" for (name, _, _), found in zip(clips, heard, strict=True)}


def nearest(heard: str, texts: dict[int, str], own: int) -> bool:
    distance = {
        i: rapidfuzz.distance.Levenshtein.normalized_distance(heard, text) for i, text in texts.items()
    }
    return min(distance, key=lambda i: distance[i]) == own


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--heard", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    report = json.loads((given.out / "report.json").read_text("utf-8"))
    script = json.loads((given.out / "script.json").read_text("utf-8"))["segments"]
    segments = report["segments"]
    spoken = [each for each in segments if each["start_s"] is not None]
    [sound] = [given.out / name for name in report["files"] if name.endswith(".m4b")]
    samples, rate, lufs, marks = programme(sound)
    lasting = [each for each in spoken if each["end_s"] - each["start_s"] >= BLOCK_S]

    def rms(begin_s: float, end_s: float) -> float:
        part = samples[int(begin_s * rate) : int(end_s * rate)].astype(np.float64) / 32768
        return float(np.sqrt(np.mean(part**2))) if part.size else 0.0

    cues = pysubs2.load(str(given.out / next(n for n in report["files"] if n.endswith(".srt"))))
    starts = np.array([cue.start / 1000 for cue in cues])
    ends = np.array([cue.end / 1000 for cue in cues])
    step = max(1, len(lasting) // max(1, given.heard))
    chosen = lasting[::step][: given.heard]
    clips = [
        (each["id"], samples[int(each["start_s"] * rate) : int(each["end_s"] * rate)], rate)
        for each in chosen
    ]
    with ProcessPoolExecutor(given.jobs) as pool:
        heard = dict(
            itertools.chain.from_iterable(
                found.items() for found in pool.map(hear, [clips[i :: given.jobs] for i in range(given.jobs)])
            )
        )
    normal = normalizer_for("en")
    places = {each["id"]: i for i, each in enumerate(segments)}
    own = [
        nearest(
            normal(heard[each["id"]]),
            {
                i: normal(segments[i]["spoken"])
                for i in range(places[each["id"]] - 2, places[each["id"]] + 3)
                if 0 <= i < len(segments)
            },
            places[each["id"]],
        )
        for each in chosen
    ]
    gaps = [(a["end_s"], b["start_s"]) for a, b in itertools.pairwise(spoken)]
    found = {
        "segments": len(segments),
        "words": sum(len(each["written"].split()) for each in segments),
        "each_once_and_in_order": [each["id"] for each in segments] == [each["id"] for each in script],
        "missing": len(report["missing"]),
        "overlaps": sum(b < a for a, b in gaps),
        "length_s": len(samples) / rate,
        "length_off_s": len(samples) / rate - report["length_s"],
        "lufs_by_ffmpeg": lufs,
        "lufs_by_report": report["loudness"]["integrated_lufs"],
        "chapters": len(report["chapters"]),
        "chapter_mark_off_s": max(
            abs(mark - chapter["start_s"])
            for (mark, _), chapter in zip(marks, report["chapters"], strict=True)
        ),
        "chapter_titles_equal": [title for _, title in marks] == [c["title"] for c in report["chapters"]],
        "subtitle_start_off_s": max(float(np.abs(starts - each["start_s"]).min()) for each in spoken),
        "subtitle_end_off_s": max(float(np.abs(ends - each["end_s"]).min()) for each in spoken),
        "subtitle_texts_equal": "".join("".join(cue.plaintext.split()) for cue in cues)
        == "".join("".join(each["written"].split()) for each in spoken),
        "subtitle_lines_most": max(cue.plaintext.count("\n") + 1 for cue in cues),
        "subtitle_line_longest": max(len(line) for cue in cues for line in cue.plaintext.split("\n")),
        "silent_segments": sum(rms(each["start_s"], each["end_s"]) < 1e-3 for each in lasting),
        "loudest_gap_rms": max((rms(a + BLOCK_S, b - BLOCK_S) for a, b in gaps), default=0.0),
        "heard": len(own),
        "heard_as_its_own_text": sum(own),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
