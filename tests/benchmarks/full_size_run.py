"""A whole run, Ray and all, with random weights of the released model's size: what the GPU does meanwhile.

    python tests/benchmarks/full_size_run.py FOLDER [--size full] [--rows 2000] [section.key=value ...]

FOLDER keeps the checkpoint (11 GB for `full`) and the run. No row says EOS: each ends at the limit of its
length. Prints a JSON line with audio seconds per second from the first spoken row to the last, and the mean
and percentiles of the card's use in that time, as nvidia-smi has it twice a second.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

from jobs.benchmark_engine import open_checkpoint
from jobs.benchmark_gpu import random_dac
from pipeline import read_results
from pipeline.codecs.dac_codec import save_dac
from pipeline.engine.standin import build_random_checkpoint

ROOT = Path(__file__).parents[2]
VOICES = ROOT / "manifests" / "voices"
SETTINGS = ("evaluation.transcriber=none", "evaluation.speaker_encoder=none")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="full")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("settings", nargs="*")
    given = parser.parse_args()
    checkpoint, out = given.folder / f"random-{given.size}", given.folder / "run"
    settings = [*SETTINGS, f"model.checkpoint={checkpoint}", *given.settings]
    began = time.time()
    if not checkpoint.is_dir():
        write_checkpoint(checkpoint, given.size)
    written = time.time()
    manifest = write_manifest(given.folder / "manifest.csv", given.rows)
    shutil.rmtree(out, ignore_errors=True)
    with (given.folder / "gpu.csv").open("w") as file:
        meter = start_meter(file)
        subprocess.run(
            [sys.executable, "-m", "jobs.clone_voices", manifest, out, *settings],
            cwd=ROOT,
            check=True,
            stdout=sys.stderr,
        )
        ended = time.time()
        if meter is not None:
            meter.terminate()
    rows = read_results(str(out), ["status", "duration_s"]).to_pylist()
    audio_s = sum(row["duration_s"] or 0 for row in rows)
    commits = sorted(path.stat().st_mtime for path in (out / "commit").iterdir())
    first = (out / "run.json").stat().st_mtime
    report = {
        "rows": len(rows),
        "ok": sum(row["status"] == "ok" for row in rows),
        "audio_s": round(audio_s),
        "checkpoint_s": round(written - began, 1),
        "run_s": round(ended - written, 1),
        "audio_s_per_s": round(audio_s / (ended - written), 1),
        "first_commit_s": round(commits[0] - first, 1),
        # what is spoken before the first commit is not counted: a lower bound
        "audio_s_per_s_between_commits": round(
            audio_s * (1 - 1 / len(commits)) / (commits[-1] - commits[0]), 1
        ),
    }
    used = [use for when, use in readings(given.folder / "gpu.csv") if commits[0] <= when <= commits[-1]]
    if used:
        used.sort()
        report |= {"gpu_use": round(sum(used) / len(used), 1), "gpu_use_p5": used[len(used) // 20]}
    print(json.dumps(report))


def write_checkpoint(folder: Path, size: str) -> None:
    """A model of that size with a DAC of about the released tokenizer's decoding cost, on the GPU if any."""
    build_random_checkpoint(folder, seed=0, name=folder.name, note="random weights", hidden_size=64)
    shutil.rmtree(folder / "semantic")  # the released model has none
    model = open_checkpoint(size).model
    with torch.no_grad():
        # below the 50 likeliest of a thousand, always
        heads = model.audio_lm_head.weight.view(model.config.num_codebooks, model.config.codebook_size, -1)
        heads[:, model.config.audio_stream_eos_id] = 0.0
    model.config.voicemill_name = folder.name
    model.save_pretrained(folder)
    codec = random_dac(model.config.num_codebooks, model.device)
    save_dac(codec, folder / "codec", name=f"{folder.name}-codec")


def write_manifest(path: Path, rows: int) -> Path:
    """Rows of 8 to 40 words over the voices of the repository."""
    with (VOICES / "voices.csv").open(newline="") as file:
        voices = list(csv.DictReader(file))
    draw = random.Random(0)
    words = " ".join(voice["text"] for voice in voices).split()
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "ref", "ref_text", "text"])
        for i in range(rows):
            voice = voices[i % len(voices)]
            text = " ".join(draw.choices(words, k=draw.randint(8, 40)))
            table.writerow([f"u{i}", VOICES / voice["file"], voice["text"], text])
    return path


def start_meter(file) -> subprocess.Popen[bytes] | None:
    if shutil.which("nvidia-smi") is None:
        return None
    fields = "timestamp,utilization.gpu,power.draw"
    return subprocess.Popen(
        ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", "-lms", "500"], stdout=file
    )


def readings(path: Path) -> list[tuple[float, float]]:
    """(seconds since the epoch, percent of the time in which a kernel ran)."""
    found = []
    for line in path.read_text().splitlines():
        when, use, *_ = line.split(", ")
        parsed = time.strptime(when.partition(".")[0], "%Y/%m/%d %H:%M:%S")
        found.append((time.mktime(parsed), float(use)))
    return found


if __name__ == "__main__":
    main()
