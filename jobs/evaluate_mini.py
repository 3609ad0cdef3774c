"""Let a checkpoint speak held-out rows and report what is heard: WER, CER, similarity, voice identified.

    python -m jobs.evaluate_mini CHECKPOINT SAMPLES [--codec FOLDER] [--rows N] [--ablation NAME ...] ...

SAMPLES is a manifest of the held-out set, or a folder of sample shards, with or without labels. CHECKPOINT
may be the folder of a training run: its last state is used. Prints one JSON line per ablation; `none` is
the model as it is, and `labels` the codec alone, with the codes that the model should have produced.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from pipeline.audio import encode_flac
from pipeline.codecs import load_codec
from pipeline.command_options import job_parser
from pipeline.engine.base import over
from pipeline.engine.checkpoint import Checkpoint, load_checkpoint
from pipeline.engine.continuous_engine import ContinuousEngine
from pipeline.errors import CheckpointError
from pipeline.evaluators import load_speaker_encoder, load_transcriber
from pipeline.reported import reported
from pipeline.training.ablations import ABLATIONS, Ablation, ablate_model
from pipeline.training.checkpoints import last_checkpoint
from pipeline.training.held_out import (
    as_audio,
    items_of,
    labelled_codes,
    pack_rows,
    read_rows,
    samples_by_voice,
)
from pipeline.training.model_export import export_run
from pipeline.training.model_training import ModelRun
from pipeline.training.speech_quality import HeardRow, SpokenRow, best_of, listen, summary, voices_of


def load(spec: str, device: str) -> Checkpoint:
    folder = Path(spec)
    if last_checkpoint(folder) is None:
        return load_checkpoint(spec, device=device)
    with tempfile.TemporaryDirectory() as exported:
        step = export_run(ModelRun(folder, folder), Path(exported))
        print(f"step {step}", file=sys.stderr)
        return load_checkpoint(exported, device=device)


def evaluate(given: argparse.Namespace, ablation: Ablation) -> dict[str, Any]:
    """The figures of one ablation."""
    codec = load_codec(given.codec or given.checkpoint, device=given.device)
    encoder, transcriber = load_speaker_encoder("demo:resemblyzer"), load_transcriber("demo:pocketsphinx")
    if encoder is None or transcriber is None:
        raise CheckpointError("the demo evaluators are missing: install the extra `demo`")
    checkpoint = load(given.checkpoint, given.device)
    if given.samples.is_file():
        rows = pack_rows(given.samples, given.rows, checkpoint.prompt_format, codec)
    else:
        rows = read_rows(given.samples, given.rows)
    voices = voices_of(samples_by_voice(rows), encoder)
    seconds = 0.0
    if ablation == "labels":
        spoken = [as_audio(rows, labelled_codes(rows), codec, ablation)]
    else:
        ablate_model(checkpoint.model, ablation)
        sampling = over(checkpoint.sampling, given.temperature, given.top_p, given.top_k)
        engine = ContinuousEngine(checkpoint, sampling, num_slots=given.slots)
        spoken = []
        for take in range(given.best_of):
            items = items_of(rows, ablation, checkpoint.prompt_format, seed=given.seed, take=take)
            began = time.perf_counter()
            found = {codes.utterance_id: codes for codes in engine.generate(items)}
            seconds += time.perf_counter() - began
            said = [found[item.utterance_id] for item in items]
            spoken.append(as_audio(rows, said, codec, ablation))
    takes = [listen(take, transcriber, encoder, voices, given.voices) for take in spoken]
    if given.keep:
        keep(spoken[0], takes[0], given.keep / ablation)
    figures = {"ablation": ablation, "takes": len(takes), **summary(takes[0]), "engine_seconds": seconds}
    if len(takes) > 1:
        figures["best"] = summary(best_of(takes))
    return figures


def keep(spoken: list[SpokenRow], heard: list[HeardRow], folder: Path) -> None:
    """Write the clips, and what was heard in each, for people to listen to."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for row, found in zip(spoken, heard, strict=True):
        if row.audio is not None:
            (folder / f"{row.utterance_id}.flac").write_bytes(encode_flac(row.audio))
        lines.append(json.dumps({"id": row.utterance_id, "text": row.text, "heard": found.hypothesis}) + "\n")
    (folder / "heard.jsonl").write_text("".join(lines), "utf-8")


def main() -> int:
    parser = job_parser("evaluate_mini", __doc__)
    parser.add_argument("checkpoint", help="a checkpoint, or the folder of a training run")
    parser.add_argument("samples", type=Path, help="a manifest, or a folder of sample shards")
    parser.add_argument("--codec", help="the codec's folder, if CHECKPOINT has none")
    parser.add_argument("--rows", type=int, default=8, help="rows to speak")
    parser.add_argument(
        "--ablation", nargs="+", choices=ABLATIONS, default=["none"], help="what to leave out of the model"
    )
    parser.add_argument(
        "--best-of", type=int, default=1, help="takes per row; the one with the lowest CER counts"
    )
    parser.add_argument("--voices", type=int, default=8, help="voices to identify the right one among")
    parser.add_argument(
        "--temperature", type=float, help="unless given, here and below: what the checkpoint recommends"
    )
    parser.add_argument("--top-p", type=float, help="as above")
    parser.add_argument("--top-k", type=int, help="as above")
    parser.add_argument("--seed", type=int, default=1, help="of rows and sampling")
    parser.add_argument("--slots", type=int, default=8, help="rows spoken at once")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    parser.add_argument("--keep", type=Path, help="also write clips and transcripts to this folder")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for ablation in given.ablation:
        print(json.dumps(evaluate(given, ablation)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
