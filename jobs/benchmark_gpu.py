"""The engine on one GPU at the size of the released model: where the time goes, within ten minutes.

    python -m jobs.benchmark_gpu [--size full] [--slots 256] [--rows 1024] [--parts step codec]

Weights are random, lengths forced: this times the engine and says nothing about speech. One JSON line per
case; the first names the machine. `--size small --slots 8 --rows 32` rehearses it on a CPU.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from jobs.benchmark_engine import FRAME_RATE, device_name, open_checkpoint, report, without_eos, workload
from pipeline.codecs.base import Codec, CodecInfo, TorchCodec
from pipeline.codecs.dac_codec import new_dac
from pipeline.command_options import job_parser
from pipeline.engine.attention import FlashAttention, MaskedAttention, choose_attention
from pipeline.engine.base import GenerationItem, Sampling
from pipeline.engine.checkpoint import Checkpoint
from pipeline.engine.continuous_engine import ContinuousEngine, usual_slots
from pipeline.engine.device import shards_at_once
from pipeline.engine.service import EngineService
from pipeline.engine.slots import Slots
from pipeline.engine.stepper import stepper_for
from pipeline.engine.transformers_engine import TransformersEngine
from pipeline.engine.weights import borrow_weights
from pipeline.records import GeneratedCodes

LENGTHS = (100, 150, 200, 250, 300, 400)  # frames: 4 to 16 s
PARTS = ("attention", "step", "engine", "transformers", "determinism", "codec")
SHARD_ROWS = 32
CONTEXTS = (300, 475, 900)  # positions that a step looks back on


def main() -> None:
    parser = job_parser("benchmark_gpu", __doc__)
    parser.add_argument("--size", default="full", help="small, medium or full")
    parser.add_argument("--slots", type=int, default=256, help="rows spoken at once")
    parser.add_argument("--rows", type=int, default=1024, help="rows to speak")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}"
    )
    options = parser.parse_args()
    parts = frozenset(options.parts)
    torch.set_num_threads(1)  # of the host; a rehearsal on a busy CPU would only wait for itself
    checkpoint = open_checkpoint(options.size)
    report(
        "machine",
        device=device_name(checkpoint.device),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        torch=torch.__version__,
        transformers=version("transformers"),
        size=options.size,
        parameters=sum(p.numel() for p in checkpoint.model.parameters()),
        usual_slots={share: usual_slots(checkpoint, share) for share in (0.8, 1.0)},
    )
    with torch.inference_mode():
        if "attention" in parts:
            attention(checkpoint, options.slots)
        if "step" in parts:
            steps(checkpoint, options.slots, ceilings(checkpoint, options.slots))
    items = workload(checkpoint, options.rows, 8, LENGTHS)
    if "engine" in parts:
        end_to_end(checkpoint, items, options.slots)
    if "transformers" in parts:
        static(checkpoint, items, options.slots)
    if "determinism" in parts:
        determinism(checkpoint, items[:64], options.slots)
    if "codec" in parts:
        codec_speed(checkpoint)


def timed(work: Callable[[], object], repeats: int = 10) -> float:
    """Median seconds of a call, the device idle before and after."""
    times = []
    for _ in range(repeats + 2):
        synchronize()
        start = time.perf_counter()
        work()
        synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ceilings(checkpoint: Checkpoint, slots: int) -> float:
    """What the device moves and multiplies at best. Returns bytes per second."""
    device, dtype = checkpoint.device, checkpoint.model.dtype
    source = torch.empty(2**28 if device.type == "cuda" else 2**24, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    bandwidth = 2 * source.numel() * 4 / timed(lambda: target.copy_(source))
    report("ceiling: copy", gb_per_s=round(bandwidth / 1e9, 1))
    weight = checkpoint.model.model.layers[0].audio_mlp.up_proj.weight
    for rows in (slots // 4, slots, 2 * slots):
        x = torch.randn(rows, weight.shape[1], dtype=dtype, device=device)
        seconds = timed(partial(torch.nn.functional.linear, x, weight))
        report("ceiling: one product", rows=rows, tflops=round(2 * rows * weight.numel() / seconds / 1e12, 2))
    return bandwidth


def attention(checkpoint: Checkpoint, slots: int) -> None:
    """Which attention is chosen, its speed, and its distance to float32 on ragged, poisoned slots."""
    config, device, dtype = checkpoint.model.config, checkpoint.device, checkpoint.model.dtype
    heads = (config.num_attention_heads, config.num_key_value_heads, config.head_dim)
    chosen = choose_attention(device, dtype, heads)
    capacity = checkpoint.prompt_format.max_positions
    queries = torch.randn(slots, heads[0], heads[2], device=device, dtype=dtype)
    keys, values = (
        torch.randn(slots + 1, capacity, *heads[1:], device=device, dtype=dtype) for _ in range(2)
    )
    positions = torch.randint(100, 700, (slots,), device=device)
    tail = torch.arange(capacity, device=device) > positions[:, None]
    for tensor in (keys, values):
        tensor[:slots][tail] = 1e4
    exact = MaskedAttention()
    expected = exact.attend(queries.float(), keys.float(), values.float(), exact.reach(positions, capacity))
    for way in (MaskedAttention(), FlashAttention(), chosen):
        reach = way.reach(positions, capacity)
        seconds = timed(partial(way.attend, queries, keys, values, reach))
        found = way.attend(queries, keys, values, reach)
        live = int((positions + 1).sum()) * heads[1] * heads[2] * 2 * keys.element_size()
        report(
            f"attention: {type(way).__name__}",
            error=float((found.float() - expected).abs().max()),
            live_gb_per_s=round(live / seconds / 1e9, 1),
        )


def steps(checkpoint: Checkpoint, slots: int, bandwidth: float) -> None:
    """A decoding step of all slots against the bytes it must read, and graph tokens against eager ones."""
    config = checkpoint.model.config
    weights = borrow_weights(checkpoint.model, checkpoint.id, checkpoint.prompt_format.max_positions)
    heads = (config.num_attention_heads, config.num_key_value_heads, config.head_dim)
    way = choose_attention(weights.device, weights.dtype, heads)
    stream_ids = (checkpoint.prompt_format.stream_bos, checkpoint.prompt_format.stream_eos)
    per_layer = [layer.qkv.numel() + layer.out.numel() for layer in weights.layers]
    per_layer += [layer.audio.gate_up.numel() + layer.audio.down.numel() for layer in weights.layers]
    weight_bytes = (sum(per_layer) + weights.head.numel()) * weights.head.element_size()
    kv_bytes = 2 * len(weights.layers) * heads[1] * heads[2] * weights.head.element_size()
    for count in sorted({max(slots // 4, 1), slots, 2 * slots}):
        held = Slots(weights, count, checkpoint.prompt_format.max_positions, stream_ids, way, ignore_eos=True)
        stepper = stepper_for(held)
        for context in CONTEXTS:
            speaking(held, context)
            seconds = timed(partial(stepper.run, context, 50)) / stepper.steps
            floor = (weight_bytes + count * context * kv_bytes) / bandwidth
            report(
                "step",
                slots=count,
                context=context,
                ms=round(1e3 * seconds, 3),
                floor_ms=round(1e3 * floor, 3),
                of_roofline=round(floor / seconds, 3),
                audio_s_per_s=round(count / seconds / FRAME_RATE, 1),
            )
        speaking(held, CONTEXTS[0])
        for _ in range(64 // stepper.steps):
            stepper.run(CONTEXTS[0] + 64, 50)
        captured = held.said.clone()
        speaking(held, CONTEXTS[0])
        for _ in range(64):
            held.step(held.num_positions, weights.codebook_size)
        report("step: graph against eager", slots=count, tokens_equal=bool(torch.equal(captured, held.said)))
        del held, stepper


def speaking(slots: Slots, context: int) -> None:
    """Every slot in the middle of a row, `context` positions in."""
    slots.kv.keys.normal_(generator=torch.Generator(slots.weights.device).manual_seed(0))
    slots.kv.values.normal_(generator=torch.Generator(slots.weights.device).manual_seed(1))
    for tensor, value in (
        (slots.position, context),
        (slots.frame, 20),
        (slots.limit, 10**6),
        (slots.winding, -1),
    ):
        tensor.fill_(value)
    slots.said.zero_()
    slots.frames.zero_()
    slots.history.zero_()
    slots.sampling.temperature.fill_(1.0)
    slots.sampling.top_p.fill_(0.95)
    slots.sampling.top_k.fill_(50)
    slots.done.fill_(False)


def static(checkpoint: Checkpoint, items: list[GenerationItem], slots: int) -> None:
    """transformers' generate on two batches of the same rows."""
    some = items[: 2 * slots]
    engine = TransformersEngine(checkpoint, Sampling(), batch_size=slots)
    start = time.perf_counter()
    audio_s = sum(row.codes.shape[1] for row in without_eos(checkpoint, engine, some)) / FRAME_RATE
    report(
        "generate: transformers, static batches",
        slots=slots,
        rows=len(some),
        audio_s_per_s=round(audio_s / (time.perf_counter() - start), 1),
    )


def end_to_end(checkpoint: Checkpoint, items: list[GenerationItem], slots: int) -> None:
    """Codes, and codes with their audio, by shards of 32 rows and as many callers as in a run."""
    codec = random_codec(checkpoint)
    for name, decode in (("codes", False), ("codes and audio", True)):
        engine = ContinuousEngine(checkpoint, Sampling(), num_slots=slots, ignore_eos=True)
        at_once = shards_at_once(slots, SHARD_ROWS, on_gpu=True)
        service = EngineService(engine, max_rows=at_once * SHARD_ROWS, deadline_s=600)
        shards = [items[start : start + SHARD_ROWS] for start in range(0, len(items), SHARD_ROWS)]
        decoding = Stopwatch()
        speak = partial(spoken_frames, service, codec if decode else None, decoding)
        with ThreadPoolExecutor(at_once) as callers:
            speak(shards[0])  # warms up
            start, steps_before = time.perf_counter(), engine.counters.steps
            audio_s = sum(callers.map(speak, shards)) / FRAME_RATE
            seconds = time.perf_counter() - start
        report(
            f"generate: continuous, {name}",
            slots=engine.num_slots,
            rows=len(items),
            audio_s_per_s=round(audio_s / seconds, 1),
            slot_use=round(engine.counters.slot_use(engine.num_slots), 3),
            ms_a_step=round(1e3 * seconds / (engine.counters.steps - steps_before), 3),  # with admission
            prefill_share=round(engine.counters.prefill_tokens / engine.counters.prompt_tokens, 3),
            padding_share=round(engine.counters.padding_tokens / engine.counters.prefill_tokens, 3),
            decoding_s=round(decoding.seconds, 2),
            seconds=round(seconds, 2),
        )
        service.close()
        del engine, service, speak


def spoken_frames(
    service: EngineService, codec: Codec | None, decoding: Stopwatch, shard: list[GenerationItem]
) -> int:
    codes = [one.codes for one in service.speak(shard) if isinstance(one, GeneratedCodes)]
    assert len(codes) == len(shard), "a row could not be spoken"
    if codec is not None:
        with decoding.running():
            codec.decode(codes)
    return sum(one.shape[1] for one in codes)


def determinism(checkpoint: Checkpoint, items: list[GenerationItem], slots: int) -> None:
    """Codes in another order must be equal, all of them; with another number of slots they are counted."""

    def codes(some: list[GenerationItem], count: int) -> dict[str, bytes]:
        engine = ContinuousEngine(checkpoint, Sampling(), num_slots=count, ignore_eos=True)
        return {row.utterance_id: row.codes.tobytes() for row in engine.generate(some)}

    first = codes(items, slots)
    equal = {
        "reversed": codes(items[::-1], slots),
        "every other one": codes(items[::2], slots),
        "half the slots": codes(items, max(slots // 2, 1)),
    }
    for name, found in equal.items():
        same = sum(first[utterance_id] == one for utterance_id, one in found.items())
        report(f"determinism: {name}", rows=len(found), equal=same)


def codec_speed(checkpoint: Checkpoint) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        codec = random_codec(checkpoint, dtype)
        for batch in (1, 8, 32):
            for frames in (100, 250):
                codes = [np.zeros((codec.num_codebooks, frames), np.uint16) for _ in range(batch)]
                held = start_peak(checkpoint.device)
                seconds = timed(partial(codec.decode, codes), repeats=3)
                report(
                    "codec: decode",
                    dtype=str(dtype),
                    batch=batch,
                    frames=frames,
                    audio_s_per_s=round(batch * frames / FRAME_RATE / seconds, 1),
                    peak_gb=peak_gb(checkpoint.device, held),
                )


def start_peak(device: torch.device) -> int:
    """Bytes that torch has on a GPU now; see `peak_gb`."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak_gb(device: torch.device, held: int) -> float:
    """The most that there was above `held` since `start_peak`."""
    most = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return round((most - held) / 1e9, 3)


def random_dac(codebooks: int, device: torch.device) -> Any:
    """A `dac.DAC` of about the released tokenizer's decoding cost, with random weights; tiny for a CPU."""
    rates = [8, 5, 4, 2, 3]
    return new_dac(
        encoder_dim=16,
        encoder_rates=rates[::-1],
        decoder_dim=1024 if device.type == "cuda" else 64,
        decoder_rates=rates,
        n_codebooks=codebooks,
        sample_rate=24_000,
    )


def random_codec(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> Codec:
    """`random_dac` on the checkpoint's device."""
    device, codebooks = checkpoint.device, checkpoint.prompt_format.num_codebooks
    model = random_dac(codebooks, device)
    dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
    model = model.to(device, dtype).eval()
    return TorchCodec(
        CodecInfo("random-dac", 24_000, 960, codebooks, 1024),
        encode_batch=lambda audio: model.encode(audio)[1],
        decode_batch=lambda codes: model.decode(model.quantizer.from_codes(codes)[0]),
        device=device,
        dtype=dtype,
    )


class Stopwatch:
    """Seconds that several threads spend in something, added up."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        with self._lock:
            self.seconds += time.perf_counter() - start


if __name__ == "__main__":
    main()
