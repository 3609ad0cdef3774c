"""A manifest with one bad row in a hundred, of 52 kinds: exactly those fail, each with its code.

    python tests/benchmarks/mixed_faults.py ROWS [--share 0.01] [--voices 100] [--seed 0] [--folder FOLDER]

Planted are the faults of tests/manifest_faults.py, which are known before anything is spent, and those that
come later: references that are changed or gone when they are encoded, texts that no slot holds, rows that
an engine, a codec or a transcriber cannot do, does too late or dies of. The job is jobs/clone_voices.py;
made up are the models, and Ray, whose part is a process that is built anew and its shard done again.

Three drivers, one after another: the first dies when half of the shards are committed, the second
finishes, the third has nothing to do and touches nothing. What came of the rows is read by DuckDB and
compared with what was planted. Ends with a JSON line, and with exit code 1 where something differs.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
import in_process
import simulate_scale as scale
from manifest_faults import FAULTY, GOOD, write_references

from jobs.clone_voices import clone_voices
from pipeline import actors, flow, tasks
from pipeline.audio import Waveform, encode_flac
from pipeline.codecs import codec_info
from pipeline.config import load_config
from pipeline.errors import RowError
from pipeline.records import HEARD_ROW, GeneratedCodes, to_table
from pipeline.stages.each_row import each_row
from pipeline.stages.load_prompt import load_planned_prompt

# kind -> where it fails and its code; what makes it is in the classes below
LATER = {
    "voice changed": ("pack_sample", "prompt_changed"),
    "voice gone": ("pack_sample", "uri_not_found"),
    "too long for a slot": ("pack_sample", "prompt_too_long"),
    "never ends": ("generate_codes", "generation_timeout"),
    "engine raises": ("generate_codes", "internal_error"),
    "says nothing": ("decode_codes", "no_audio_generated"),
    "codec raises": ("decode_codes", "internal_error"),
    "transcriber raises": ("transcribe", "internal_error"),
}
# An actor is built anew fifty times (flow._RESTARTS), and each of these costs five.
DEADLY = {"engine dies": ("quarantine", "quarantined"), "transcriber dies": ("quarantine", "quarantined")}
DEADLY_EACH = 4
UNSPEAKABLE = 7  # codes that the made-up codec cannot decode


class Died(Exception):
    """Ends a driver where it is wanted."""


class WorkerDied(BaseException):
    """What a process that is gone looks like from outside: nothing in it catches this."""


@dataclass
class Planted:
    manifest: str
    failing: dict[int, tuple[str | None, str]]  # row -> stage (None: before any) and code
    later: dict[str, str]  # utterance_id -> kind
    spoilt: dict[Path, bytes | None]  # references, and what becomes of them once they have been checked


# ---- the manifest


def plant(folder, rows, share, voices, seed):
    draw, noise = random.Random(seed), np.random.default_rng(seed)
    write_references(folder)
    for voice in range(voices):
        _write_voice(folder / f"v{voice}.flac", noise)
    at_once = [(None, code, change) for code, change in FAULTY]
    later = [(*LATER[kind], kind) for kind in LATER]
    deadly = [(*DEADLY[kind], kind) for kind in DEADLY for _ in range(DEADLY_EACH)]
    count = round(rows * share)
    assert count >= len(at_once) + len(later) + len(deadly), "too few rows for every kind of fault"
    kinds = deadly + [(at_once + later)[i % len(at_once + later)] for i in range(count - len(deadly))]
    draw.shuffle(kinds)
    # the first row is good: others come with its id
    places = dict(zip(sorted(draw.sample(range(2, rows + 1), count)), kinds, strict=True))
    planted = Planted(str(folder / "manifest.jsonl"), {}, {}, {})
    with open(planted.manifest, "wb") as file:
        for row in range(1, rows + 1):
            text = " ".join(draw.choices(scale.WORDS, k=draw.randint(4, 20)))
            line = {"id": f"good-{row}", **GOOD, "ref": f"v{draw.randrange(voices)}.flac", "text": text}
            if (fault := places.get(row)) is not None:
                stage, code, change = fault
                planted.failing[row] = (stage, code)
                line = _spoil(line, f"fault-{row}", change, folder, noise, planted)
            file.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    return planted


def _spoil(line, name, change, folder, noise, planted):
    if isinstance(change, bytes):
        return change
    if isinstance(change, dict):
        return {**line, **GOOD, "id": name, **change}
    planted.later[name] = change
    if change == "too long for a slot":
        return {**line, "id": name, "text": "word " * 390}
    if change in ("voice changed", "voice gone"):
        _write_voice(folder / f"{name}.flac", noise)
        planted.spoilt[folder / f"{name}.flac"] = (
            (folder / "v0.flac").read_bytes() if change == "voice changed" else None
        )
        return {**line, "id": name, "ref": f"{name}.flac"}
    return {**line, "id": name}


def _write_voice(path, noise):
    samples = 0.1 * noise.standard_normal(int(scale.VOICE_S * scale.VOICE_RATE))
    path.write_bytes(encode_flac(Waveform(samples.astype(np.float32), scale.VOICE_RATE)))


# ---- what is made up


class Encode(scale.EncodeAtOnce):
    """The references are read as a worker reads them, after those that are to change have changed."""

    def __init__(self, codec, spoilt):
        super().__init__(codec)
        self._spoilt = spoilt

    def __call__(self, run, cluster, cache, prompts, board):
        for path, data in self._spoilt.items():
            path.unlink(missing_ok=True) if data is None else path.write_bytes(data)
        good, failed = [], {}
        for row in prompts:
            said = (row["prompt_audio"], row["prompt_id"], row["prompt_text"], row["language"])
            try:
                load_planned_prompt(*said, run.config.check.max_prompt_bytes)
                good.append(row)
            except RowError as error:
                failed[row["prompt_id"]] = error
        super().__call__(run, cluster, cache, good, board)
        return failed


class Speak(scale.SpeakAtOnce):
    def __init__(self, codec, later):
        super().__init__(codec, audio_s=0.05)
        self._later = later

    def speak(self, items):
        return [self._one(item, done) for item, done in zip(items, super().speak(items), strict=True)]

    def _one(self, item, done):
        kind = self._later.get(item.utterance_id)
        if kind == "engine dies":
            raise WorkerDied
        if kind == "engine raises":
            raise ValueError("planted")
        if kind == "never ends":
            return RowError("generation_timeout", "planted")
        codes = done.codes
        if kind == "says nothing":
            codes = codes[:, :0]
        if kind == "codec raises":
            codes = np.full_like(codes, UNSPEAKABLE)
        return GeneratedCodes(item.utterance_id, codes, "eos", item.seed, 0.01)

    def decode(self, codes):
        if any((one == UNSPEAKABLE).all() for one in codes):
            raise ValueError("planted")
        return super().decode(codes)


class Transcribe:
    def __init__(self, later):
        self._later = later

    def __call__(self, table):
        return to_table(each_row(table.to_pylist(), "transcribe", self._hear), HEARD_ROW)

    def _hear(self, row):
        kind = self._later.get(row["utterance_id"])
        if kind == "transcriber dies":
            raise WorkerDied
        if kind == "transcriber raises":
            raise ValueError("planted")
        return row | {"hypothesis": row["target_text"]}


class Actor:
    """A chain in a process that Ray builds anew as often as the product lets it."""

    def __init__(self, part, run):
        self._build = lambda: actors.Chain([part], run)
        self._chain, self.deaths = self._build(), 0

    def __call__(self, table):
        while True:
            try:
                return self._chain(table)
            except WorkerDied:
                self.deaths += 1
                assert self.deaths <= flow._RESTARTS, "Ray would not build it again"
                self._chain = self._build()


def speak_graph(planted, codec, dies):
    def speak(work):
        reading = (work.run, work.cache, work.failed_prompts, work.board)
        parts = [
            (actors.PackSamples, reading),
            (Speak, (codec, planted.later)),
            (Transcribe, (planted.later,)),
            (scale.EmbedSpeakerAtOnce, ()),
        ]
        chain = [Actor(part, work.run) for part in parts]
        for done, shard in enumerate(work.todo):
            if dies and done == len(work.todo) // 2:
                raise Died
            table = pa.Table.from_pylist([actors.shard_columns(shard)])
            for actor in chain:
                table = actor(table)
            yield from tasks.commit_shard(table, run=work.run, board=work.board).to_pylist()

    return speak


# ---- drivers and what they leave


def drive(driver, planted, out, config):
    began, codec = time.process_time(), codec_info("standin")
    made_up = {name: getattr(in_process, name) for name in scale.OF_RAY}
    made_up["encode_prompts"] = Encode(codec, planted.spoilt)
    made_up["speak"] = speak_graph(planted, codec, dies=driver == "dies")
    before = _versions(out)
    with mock.patch.multiple(flow, **made_up):
        try:
            summary = clone_voices(planted.manifest, out, config, Console(quiet=True))
            assert driver != "dies", "it was to die"
            assert summary["failed"] == len(planted.failing), summary
        except Died:
            assert driver == "dies", "it was not to die"
    assert driver != "idle" or _versions(out) == before, "a run that was whole has been touched"
    print(json.dumps({"driver": driver, "cpu_s": round(time.process_time() - began, 1)}), flush=True)


def _versions(out):
    return {path: path.stat().st_mtime_ns for path in Path(out).rglob("*") if path.is_file()}


def differences(planted, rows, out):
    """What is not as planted, in words."""
    columns = "row, utterance_id, status, failed_stage, error_code, audio is not null, codes is not null"
    found = duckdb.sql(f"select {columns} from read_parquet('{out}/data/*/*.parquet')").fetchall()
    said = []
    if sorted(row[0] for row in found) != list(range(1, rows + 1)):
        said.append(f"{len(found)} results for {rows} rows, or a row twice")
    if len({row[1] for row in found}) != len(found):
        said.append("an id twice")
    for row, name, status, stage, code, has_audio, has_codes in found:
        expected = planted.failing.get(row)
        if expected is None:
            if (status, stage, code, has_audio, has_codes) != ("ok", None, None, True, True):
                said.append(f"row {row} ({name}) is good: {status} {stage} {code}")
        elif (status, code) != ("failed", expected[1]) or expected[0] not in (None, stage):
            said.append(f"row {row} ({name}): {status} {stage} {code}, planted {expected}")
    counted = Counter()
    for codes in json.loads(Path(out, "summary.json").read_text())["failures"].values():
        counted.update(codes)
    if counted != Counter(code for _, code in planted.failing.values()):
        said.append(f"summary.json counts {dict(counted)}")
    return said


def run(folder, rows, share=0.01, voices=100, seed=0):
    """What is not as planted, in words; prints what was."""
    planted = plant(folder, rows, share, voices, seed)
    config = load_config(None, ["model.checkpoint=standin"])
    for driver in ("dies", "finishes", "idle"):
        drive(driver, planted, f"{folder}/run", config)
    codes = Counter(code for _, code in planted.failing.values())
    wrong = differences(planted, rows, f"{folder}/run")
    print(json.dumps({"rows": rows, "planted": codes.total(), "codes": len(codes), "wrong": len(wrong)}))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--voices", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="an empty one, kept; by default one that goes")
    options = vars(parser.parse_args())
    folder = options.pop("folder")
    logging.getLogger("pipeline.stages.each_row").setLevel(logging.CRITICAL)  # of what is planted
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as name:
        wrong = run(Path(name), **options)
    for line in wrong[:50]:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
