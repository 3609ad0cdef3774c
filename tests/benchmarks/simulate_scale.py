"""What a run costs besides its models: rows that are spoken, decoded and heard at once, without Ray.

    python tests/benchmarks/simulate_scale.py ROWS [ROWS ...] [--voices 1000] [--s3] [--audio-s 0.05]
        [--real-every 1] [--folder FOLDER] [--drivers half,rest,finish,again]

A million rows (about 20 GB in FOLDER, and half an hour of CPU without --s3):

    OMP_NUM_THREADS=1 nice -n 19 \\
        python tests/benchmarks/simulate_scale.py 1000000 --real-every 64 --folder FOLDER

A manifest of ROWS rows (one in a hundred is bad) goes through the steps of jobs/clone_voices.py, on a
local folder or, with --s3, on a moto server of this machine. Preflight, plan, packing, attempts, scores,
commits and summary are the product's; the shards go one after another through its stages, in the chains of a
cluster. Made up are the encoded voices, the codes, the decoded samples (--audio-s of each row), hypotheses
and similarities.

Four drivers, each a process of its own; one JSON line for each of their steps:

    half     begins, and dies when half of the shards are committed
    rest     resumes, and dies before it finishes
    finish   finds every shard committed
    again    finds the run whole

With --real-every K only every K-th shard goes through the stages, and those with bad rows; the others are
copies of one before them under their own rows, with as many objects: what drivers pay is the same, and what
workers pay does not depend on the number of rows. With --folder all lies there and stays, and some of the
drivers may be run once more.

    rows          of the whole run, or for the steps of workers (packing to commit) those that this driver did
    cpu_s, us     CPU seconds of the process, and microseconds per row; wall time is the machine's affair
    peak_mib      most memory while the step went on, above what the process began with
    requests      on S3, per thousand rows: by operation and folder of the run

Steps leave out those within them: `plan_rows` is the driver's, `commit` a worker's.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
import in_process
from step_meter import Meter

from pipeline import actors, beforehand, flow, steps, tasks
from pipeline.attempts import Attempts
from pipeline.audio import Waveform, encode_flac
from pipeline.codecs import codec_info
from pipeline.config import load_config
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.plan import planned_shards, read_planned
from pipeline.records import (
    GENERATED_ROW,
    HEARD_ROW,
    PLANNED_ROW,
    UTTERANCE_ROW,
    GeneratedCodes,
    SpeakerPrompt,
    to_table,
)
from pipeline.stages.decode_codes import decode_codes
from pipeline.stages.each_row import each_row
from pipeline.stages.generate_codes import generate_codes

RATE = 24_000
VOICE_RATE, VOICE_S = 16_000, 1.2
WORDS = ["ferry", "leaves", "quiet", "harbor", "dawn", "nobody", "waits", "morning", "light", "water"]
OF_RAY = ("start_ray", "stop_ray", "new_board", "read_board", "read_work")
OF_WORKERS = ("pack_sample", "speak", "transcribe", "embed_speaker", "commit")


class Died(Exception):
    """Ends a driver where it is wanted."""


# ---- what is made up


class EncodeAtOnce:
    """A voice per prompt, as large as a real one of the same length."""

    def __init__(self, codec):
        self._codec = codec

    def __call__(self, run, cluster, cache, prompts, board):
        draw = np.random.default_rng(0)
        frames = self._codec.num_frames(int(VOICE_S * self._codec.sample_rate))
        for row in prompts:
            codes = draw.integers(0, self._codec.codebook_size, (self._codec.num_codebooks, frames))
            waveform = (3000 * draw.standard_normal(int(VOICE_S * VOICE_RATE))).astype(np.int16)
            embedding = draw.standard_normal(256).astype(np.float32)
            text = row["prompt_text"]
            cache.put(
                SpeakerPrompt(row["prompt_id"], text, codes.astype(np.uint16), waveform, VOICE_S, embedding)
            )
        return {}


class SpeakAtOnce:
    def __init__(self, codec, audio_s):
        self.id = "at-once"
        self._codes = np.zeros((codec.num_codebooks, max(1, int(audio_s * codec.frame_rate))), np.uint16)
        hum = 0.3 * np.sin(2 * np.pi * 150 * np.arange(int(audio_s * RATE)) / RATE)
        noise = 0.02 * np.random.default_rng(0).standard_normal(len(hum))
        self._waveform = Waveform((hum + noise).astype(np.float32), RATE)

    def speak(self, items):
        return [GeneratedCodes(item.utterance_id, self._codes, "eos", item.seed, 0.01) for item in items]

    def decode(self, codes):
        return [self._waveform] * len(codes)

    def __call__(self, table):
        generated = to_table(generate_codes(table.to_pylist(), self), GENERATED_ROW)
        return to_table(decode_codes(generated.to_pylist(), self, {"MODEL": "none"}), UTTERANCE_ROW)


class TranscribeAtOnce:
    """Every tenth word is not heard."""

    def __call__(self, table):
        draw = random.Random(table["shard"][0].as_py())
        heard = lambda text: " ".join(word for word in text.split() if draw.random() > 0.1)  # noqa: E731
        rows = each_row(
            table.to_pylist(), "transcribe", lambda row: row | {"hypothesis": heard(row["target_text"])}
        )
        return to_table(rows, HEARD_ROW)


class EmbedSpeakerAtOnce:
    def __call__(self, table):
        draw = random.Random(table["shard"][0].as_py())
        rows = each_row(
            table.to_pylist(), "embed_speaker", lambda row: row | {"similarity": draw.uniform(0.4, 0.95)}
        )
        return to_table(rows, HEARD_ROW)


# ---- the run


def clone_voices(driver, manifest, out, config, audio_s, real_every):
    """jobs/clone_voices.py, step by step; gives the meter and the rows that were done."""
    meter, console = Meter(), Console(quiet=True)
    done = SimpleNamespace(rows=0, shards=0)
    count_requests(meter)
    replace_the_models(meter, done, _half if driver == "half" else None, audio_s, real_every)
    summarise_run = steps.summarise_run

    def summarise(*given):
        with meter.step("summarise_run"):
            return summarise_run(*given)

    steps.summarise_run = summarise
    try:
        beforehand.refuse_conflicts(out, "speak", config)
        with meter.step("check_manifest"):
            preflight = beforehand.check_manifest(manifest, config, console)
        with meter.step("all_planned"):
            planned = beforehand.all_planned(out, preflight)
        with meter.step("whole_already"):
            whole = planned and beforehand.whole_already(out, console)
        if whole:
            assert driver == "again"
            return meter, done.rows
        with steps.session(out, manifest, "speak", config, console) as session:
            for name in ("plan_rows", "encode_voices", "speak_shards", "finish")[planned:]:
                arguments = (session, preflight) if name == "plan_rows" else (session,)
                with meter.step(name):
                    if name == "finish" and driver == "rest":
                        raise Died
                    result = getattr(steps, name)(*arguments)
            assert driver == "finish", "only the last driver may come so far"
            rows = sum(shard.rows for shard in planned_shards(session.run.store))
            assert result["rows"] == rows == result["ok"] + result["failed"], result
    except Died:
        pass
    return meter, done.rows


def _half(work):
    return len(planned_shards(work.run.store)) // 2


def replace_the_models(meter, done, stop_at, audio_s, real_every):
    for name in OF_RAY:
        setattr(flow, name, getattr(in_process, name))
    codec = codec_info("standin")
    flow.encode_prompts = EncodeAtOnce(codec)

    def speak(work):
        parts = {
            "pack_sample": (actors.PackSamples, (work.run, work.cache, work.failed_prompts, work.board)),
            "speak": (SpeakAtOnce, (codec, audio_s)),
            "transcribe": (TranscribeAtOnce, ()),
            "embed_speaker": (EmbedSpeakerAtOnce, ()),
        }
        chains = {}
        for name, part in parts.items():
            with meter.step("start"):
                chains[name] = actors.Chain([part], work.run)
        last = stop_at and stop_at(work)
        like = None
        for i, shard in enumerate(work.todo):
            if i % real_every and not shard.bad and like is not None and len(like[0]) == shard.rows:
                with meter.step("copy"):
                    copy(work.run, shard, like)
                done.shards += 1
                if done.shards == last:
                    raise Died
                yield {"shard": shard.name, "rows": shard.rows}
                continue
            table = pa.Table.from_pylist([actors.shard_columns(shard)])
            for name, chain in chains.items():
                with meter.step(name):
                    table = chain(table)
            with meter.step("commit"):
                committed = tasks.commit_shard(table, run=work.run, board=work.board)
            done.rows, done.shards = done.rows + table.num_rows, done.shards + 1
            if real_every > 1 and not shard.bad:
                with meter.step("copy"):
                    logs = (work.run.samples, work.run.results)
                    like = [log.read_table(log.read_commit(shard.name)) for log in logs]
            if done.shards == last:
                raise Died
            yield from committed.to_pylist()

    flow.speak = speak


def copy(run, shard, like):
    """Commits a shard as another was, with its own planned rows in it."""
    planned = to_table(read_planned(run.store, shard), PLANNED_ROW)
    for chain in ("SpeakAtOnce", "TranscribeAtOnce", "EmbedSpeakerAtOnce"):
        Attempts(run.store, chain).begin(f"{shard.name}/shard")
    for log, table in zip((run.samples, run.results), like, strict=True):
        for name in planned.column_names:
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), planned[name])
        log.write_shard(shard.name, table, "copy", {"failed": 0, "rejected": 0})


def count_requests(meter):
    from aiobotocore.client import AioBaseClient

    call = AioBaseClient._make_api_call

    async def counted(self, operation, parameters):
        meter.count(operation, parameters)
        return await call(self, operation, parameters)

    AioBaseClient._make_api_call = counted


def write_manifest(folder, rows, voices):
    draw, noise = random.Random(0), np.random.default_rng(0)
    for voice in range(voices):
        samples = 0.1 * noise.standard_normal(int(VOICE_S * VOICE_RATE))
        flac = encode_flac(Waveform(samples.astype(np.float32), VOICE_RATE))
        (folder / f"v{voice}.flac").write_bytes(flac)
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "ref", "ref_text", "text"])
        for row in range(rows):
            text = " ".join(draw.choices(WORDS, k=draw.randint(4, 20))) if row % 100 else ""
            writer.writerow([f"u{row}", f"v{draw.randrange(voices)}.flac", "The ferry leaves.", text])
    return str(path)


@contextmanager
def moto():
    """A server in a process of its own; the environment leads clients to it."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "moto_server"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], **quiet)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        while not _listens(port):
            assert server.poll() is None, "moto has ended"
            time.sleep(0.5)
        boto3.client("s3").create_bucket(Bucket="scale")
        yield "s3://scale/run"
    finally:
        server.terminate()
        server.wait()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def drive(driver, rows, manifest, out, config, options):
    meter, done = clone_voices(driver, manifest, out, config, options.audio_s, options.real_every)
    with meter.step("start"):  # ends the last one
        pass
    meter.report(driver, rows, done, OF_WORKERS)


def warm_up(config):
    """What is imported and built here is in no driver's figures."""
    model = config.model
    PromptFormat.load(
        model.checkpoint,
        model.revision,
        style=model.prompt_style,
        semantic=model.semantic,
        max_positions=model.max_positions,
    )
    steps.check_parts(config)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--voices", type=int, default=1000)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--real-every", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--drivers", default="half,rest,finish,again")
    parser.add_argument("--audio-s", type=float, default=0.05)
    options = parser.parse_args()
    config = load_config(None, ["model.checkpoint=standin"])
    warm_up(config)
    for rows in options.rows:
        with tempfile.TemporaryDirectory() if options.folder is None else nullcontext(options.folder) as name:
            folder = Path(name, str(rows))
            folder.mkdir(exist_ok=True)
            manifest = write_manifest(folder, rows, options.voices)
            with moto() if options.s3 else nullcontext(f"{folder}/run") as out:
                for driver in options.drivers.split(","):
                    arguments = (driver, rows, manifest, out, config, options)
                    process = multiprocessing.get_context("fork").Process(target=drive, args=arguments)
                    process.start()
                    process.join()
                    if process.exitcode:
                        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
