"""`make bench`, the engine's part: generation speed on this device, one JSON line per case.

    python -m jobs.benchmark_engine [SIZE | CHECKPOINT] [--slots N] [--rows N] [--pairs N] [--threads N]

SIZE is small, medium or full: random weights of the architecture, full being that of the released 3B model.
Rows have forced lengths. Absolute numbers belong to the machine; quote `ratio`, whose sides took turns.
"""

from __future__ import annotations

import dataclasses
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.command_options import job_parser
from pipeline.engine.base import GenerationItem, Sampling
from pipeline.engine.checkpoint import Checkpoint, load_checkpoint
from pipeline.engine.continuous_engine import ContinuousEngine
from pipeline.engine.standin import build_random_checkpoint
from pipeline.engine.transformers_engine import TransformersEngine
from pipeline.records import GeneratedCodes, SpeakerPrompt, SynthesisRequest

FRAME_RATE = 25.0
# hidden, layers, heads, kv heads, feed-forward; `full` is the released model but for its text vocabulary
SIZES = {
    "small": (256, 8, 4, 2, 768),
    "medium": (1024, 16, 16, 8, 4096),
    "full": (3072, 28, 24, 8, 8192),
}
# text words and frames of the reference's mixed workload: long and short rows of four voices
LENGTHS = (20, 40, 60, 80, 120, 250)
VOICES = 4
VOICE_FRAMES = 100


def main() -> None:
    parser = job_parser("benchmark_engine", __doc__)
    parser.add_argument("checkpoint", nargs="?", default="small", help="small, medium, full, or a checkpoint")
    parser.add_argument("--slots", type=int, default=8, help="rows spoken at once")
    parser.add_argument("--rows", type=int, default=48, help="rows to speak")
    parser.add_argument("--pairs", type=int, default=3, help="turns that each way takes")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    checkpoint = open_checkpoint(options.checkpoint)
    items = workload(checkpoint, options.rows, VOICES)
    compare(checkpoint, items, options.slots, options.pairs)


def compare(checkpoint: Checkpoint, items: Sequence[GenerationItem], slots: int, pairs: int) -> None:
    """transformers' `generate` in static batches, unsorted and sorted by true length, against the engine."""
    static = TransformersEngine(checkpoint, Sampling(), batch_size=slots)
    continuous = ContinuousEngine(checkpoint, Sampling(), num_slots=slots, ignore_eos=True)
    longest_first = sorted(items, key=lambda item: -item.sample.max_new_frames)
    ways: dict[str, Callable[[], Iterator[GeneratedCodes]]] = {
        "transformers generate, static batches": lambda: without_eos(checkpoint, static, items),
        "transformers generate, sorted by true length": lambda: without_eos(
            checkpoint, static, longest_first
        ),
        "continuous": lambda: continuous.generate(items),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(pairs + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            audio_s = sum(row.codes.shape[1] for row in way()) / FRAME_RATE
            if turn:  # the first warms up
                speeds[name].append(audio_s / (time.perf_counter() - start))
    counters = continuous.counters
    work = {
        "slot_use": round(counters.slot_use(slots), 3),
        "prefill_share": round(counters.prefill_tokens / counters.prompt_tokens, 3),
    }
    ours = speeds["continuous"]
    for name, values in speeds.items():
        report(
            f"generate: {name}",
            of=checkpoint.id,
            device=device_name(checkpoint.device),
            slots=slots,
            rows=len(items),
            audio_s_per_s=round(statistics.median(values), 2),
            ratio=round(statistics.median(a / b for a, b in zip(ours, values, strict=True)), 2),
            **(work if values is ours else {}),
        )


def open_checkpoint(name: str, device: str | None = None, max_positions: int = 1280) -> Checkpoint:
    """A size of SIZES with random weights, made on the device, or a checkpoint's folder or `standin`."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name not in SIZES:
        return load_checkpoint(name, device=device, max_positions=max_positions)
    from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

    with tempfile.TemporaryDirectory() as folder:
        build_random_checkpoint(
            Path(folder), seed=0, name=f"random-{name}", note="random weights", hidden_size=64
        )
        small = load_checkpoint(folder, max_positions=max_positions)
    hidden, layers, heads, kv_heads, feed_forward = SIZES[name]
    config = small.model.config.to_dict() | {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads,
        "intermediate_size": feed_forward,
    }
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        model = HiggsAudioV2ForConditionalGeneration(HiggsAudioV2Config.from_dict(config)).to(dtype).eval()
    style = dataclasses.replace(small.prompt_format, max_semantic_frames=0)
    return Checkpoint(f"random-{name}", model, style, None, Sampling(), ())


def workload(
    checkpoint: Checkpoint, rows: int, voices: int, lengths: Sequence[int] = LENGTHS
) -> list[GenerationItem]:
    """Rows over voices that take turns, with texts in proportion to their forced lengths."""
    draw = random.Random(0)
    items = []
    for i in range(rows):
        frames = draw.choice(lengths)
        request = SynthesisRequest(i, f"u{i}", "voice.wav", None, "word " * max(frames // 10, 1), "en", i)
        sample = checkpoint.prompt_format.pack(request, voice(checkpoint, i % voices), max_new_frames=frames)
        items.append(GenerationItem(f"u{i}", sample, seed=i))
    return items


def voice(checkpoint: Checkpoint, seed: int) -> SpeakerPrompt:
    codes = np.random.default_rng(seed).integers(
        0, 1024, (checkpoint.prompt_format.num_codebooks, VOICE_FRAMES)
    )
    text = "It was a long way to the sea, and nobody knew it."
    seconds = VOICE_FRAMES / FRAME_RATE
    waveform = np.zeros(int(16_000 * seconds), np.int16)
    return SpeakerPrompt(f"v{seed}", text, codes.astype(np.uint16), waveform, seconds, None)


@contextmanager
def never_ending(checkpoint: Checkpoint) -> Iterator[None]:
    """While open, no row of transformers' generation says EOS."""
    eos, size = checkpoint.prompt_format.stream_eos, checkpoint.model.config.codebook_size

    def mask(_module: Any, _args: Any, logits: torch.Tensor) -> torch.Tensor:
        logits.view(*logits.shape[:-1], -1, size)[..., eos] = -torch.inf
        return logits

    handle = checkpoint.model.audio_lm_head.register_forward_hook(mask)
    try:
        yield
    finally:
        handle.remove()


def without_eos(
    checkpoint: Checkpoint, engine: TransformersEngine, items: Sequence[GenerationItem]
) -> Iterator[GeneratedCodes]:
    with never_ending(checkpoint):
        yield from engine.generate(items)


def device_name(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return f"{name}, {torch.get_num_threads()} threads" if device.type == "cpu" else name


def report(case: str, **figures: Any) -> None:
    print(json.dumps({"case": case, **figures}), flush=True)


if __name__ == "__main__":
    main()
