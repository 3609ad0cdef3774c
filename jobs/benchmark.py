"""`make bench`: what the parts cost on this machine, one JSON line per case, ratios within one run.

    python -m jobs.benchmark [CHECKPOINT [REVISION]]

Absolute numbers belong to the machine; quote `ratio`, whose two sides were measured in turn.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pipeline.audio import Waveform, decode_audio, resample
from pipeline.codecs import load_codec
from pipeline.command_options import job_parser
from pipeline.commit import parquet_bytes
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.manifest import read_manifest
from pipeline.records import SAMPLE_ROW, SpeakerPrompt, SynthesisRequest, to_table
from pipeline.stages.check_request import RequestChecker
from pipeline.stages.pack_sample import sample_columns

VOICE = Path("manifests/voices/slt-1.flac")
ROWS = 16
FRAMES = 50
PAIRS = 5


def main() -> None:
    parser = job_parser("benchmark", __doc__)
    parser.add_argument(
        "checkpoint", nargs="?", default="standin", help="mini, standin, a folder or a hub id"
    )
    parser.add_argument("revision", nargs="?", help="commit of a hub id")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec, revision = options.checkpoint, options.revision
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint = load_checkpoint(spec, revision, device)
    codec = load_codec(spec, revision, device)
    voice = decode_audio(VOICE.read_bytes())
    prompt = SpeakerPrompt(
        prompt_id="0" * 32,
        prompt_text="The ferry leaves the harbor at dawn.",
        codes=codec.encode([resample(voice, codec.sample_rate)])[0],
        waveform=(resample(voice, 16_000).samples * 32767).astype(np.int16),
        duration_s=voice.duration_s,
        embedding=None,
    )
    request = SynthesisRequest(1, "u", str(VOICE), prompt.prompt_text, "Good evening to you all.", "en", 1)
    sample = checkpoint.prompt_format.pack(request, prompt, max_new_frames=FRAMES)
    codes = [prompt.codes[:, :FRAMES] for _ in range(ROWS)]
    decode = {
        "equal lengths together": lambda: seconds(codec.decode(codes)),
        "one at a time": lambda: sum(seconds(codec.decode([one])) for one in codes),
    }
    report("decode", "audio s/s", decode, codec.id, device)

    table = to_table(
        [sample_columns(sample) | {"row": i, "utterance_id": f"u{i}"} for i in range(512)], SAMPLE_ROW
    )
    sizes = {"bytes": len(parquet_bytes(table)), "rows": table.num_rows, "in_memory_bytes": table.nbytes}
    print(json.dumps({"case": "packed samples of one voice", **sizes}))

    lines = "".join(f"u{i},{VOICE},The ferry leaves.,Good evening number {i}.\n" for i in range(20_000))
    manifest = f"id,ref,ref_text,text\n{lines}".encode()

    def read_only() -> float:
        return float(sum(1 for _ in read_manifest(io.BytesIO(manifest), "m.csv")))

    def read_and_check() -> float:
        checker = RequestChecker()
        return float(
            sum(
                checker.check(row).request is not None for row in read_manifest(io.BytesIO(manifest), "m.csv")
            )
        )

    report("manifest", "rows/s", {"read": read_only, "read and check": read_and_check}, "csv", "cpu")


def seconds(waveforms: list[Waveform]) -> float:
    return sum(waveform.duration_s for waveform in waveforms)


def report(case: str, unit: str, ways: dict[str, Callable[[], float]], of: str, device: str) -> None:
    """Runs the two ways in turn after a warm-up each; prints medians, and the median ratio of the pairs."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(PAIRS + 1):
        for name, work in ways.items():
            start = time.perf_counter()
            done = work()
            if turn:
                speeds[name].append(done / (time.perf_counter() - start))
    first, second = speeds.values()
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    line = {"case": case, "unit": unit, "of": of, "device": device}
    line |= {name: round(statistics.median(values), 2) for name, values in speeds.items()}  # type: ignore[misc]
    print(json.dumps({**line, "ratio": round(statistics.median(ratios), 2), "pairs": PAIRS}), flush=True)


if __name__ == "__main__":
    main()
