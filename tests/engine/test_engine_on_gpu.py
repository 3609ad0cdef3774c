"""What must hold on a GPU, with voicemill-mini: `pytest -m gpu`, skipped where there is none."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.audio import decode_audio, resample, to_int16
from pipeline.codecs import load_codec
from pipeline.engine.attention import FlashAttention, MaskedAttention, choose_attention
from pipeline.engine.base import GenerationItem, Sampling
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.continuous_engine import ContinuousEngine
from pipeline.engine.device import free_bytes, is_device_fault, room_bytes
from pipeline.engine.transformers_engine import TransformersEngine
from pipeline.errors import ConfigError
from pipeline.records import SpeakerPrompt, SynthesisRequest

pytest.importorskip("triton")
from pipeline.engine.decode_attention import DecodeAttention

pytestmark = pytest.mark.gpu
VOICES = Path(__file__).parents[2] / "manifests" / "voices"
GREEDY = Sampling(temperature=0.0)
TEXTS = (
    "The garden is quiet after the rain.",
    "No.",
    "He walked along the river until the lights of the town were out of sight.",
    "Bring the boxes to the station.",
)


@pytest.fixture(scope="module")
def checkpoint_on():
    return cache(lambda device, dtype: load_checkpoint("mini", device=device, dtype=dtype, max_positions=640))


@pytest.fixture(scope="module")
def items(checkpoint_on):
    """24 rows of four voices, encoded on the CPU, so that the prompts are the same everywhere."""
    codec, prompt_format = load_codec("mini"), checkpoint_on("cpu", torch.float32).prompt_format
    prompts = []
    for name in ("slt-1", "awb-1", "rms-1", "slt-high-1"):
        clip = decode_audio((VOICES / f"{name}.flac").read_bytes())
        codes = codec.encode([resample(clip, codec.sample_rate)])[0]
        waveform = to_int16(resample(clip, 16_000).samples)
        prompts.append(SpeakerPrompt(name, "", codes, waveform, clip.duration_s, None))
    made = []
    for i in range(24):
        request = SynthesisRequest(i, f"u{i}", "voice.flac", None, TEXTS[i % len(TEXTS)], "en", i)
        sample = prompt_format.pack(request, prompts[i // 3 % 4], max_new_frames=40 + 7 * i)
        made.append(GenerationItem(f"u{i}", sample, seed=i))
    return made


def codes_of(engine, items):
    return {row.utterance_id: (row.codes.tolist(), row.finish_reason) for row in engine.generate(items)}


def test_greedy_codes_are_those_of_transformers(checkpoint_on, items):
    """In float32, where two ways to sum agree to a margin that hardly any pair of likeliest tokens is within."""
    checkpoint = checkpoint_on("cuda", torch.float32)
    expected = codes_of(TransformersEngine(checkpoint, GREEDY, batch_size=1), items[:12])
    assert codes_of(ContinuousEngine(checkpoint, GREEDY, num_slots=8), items[:12]) == expected


def test_greedy_codes_are_those_of_a_cpu(checkpoint_on, items):
    on_cpu = codes_of(ContinuousEngine(checkpoint_on("cpu", torch.float32), GREEDY, num_slots=8), items[:6])
    on_gpu = codes_of(ContinuousEngine(checkpoint_on("cuda", torch.float32), GREEDY, num_slots=8), items[:6])
    assert on_gpu == on_cpu


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mates_and_order_change_nothing(checkpoint_on, items, dtype):
    checkpoint = checkpoint_on("cuda", dtype)
    expected = codes_of(ContinuousEngine(checkpoint, num_slots=8), items)
    assert len({str(row) for row in expected.values()}) == len(items)
    engine = ContinuousEngine(checkpoint, num_slots=8)
    assert codes_of(engine, items[::-1]) == expected
    for some in (items[::3], items[:1], items[5:9]):
        assert codes_of(engine, some) == {item.utterance_id: expected[item.utterance_id] for item in some}


def test_each_gpu_has_its_attention():
    device = torch.device("cuda")
    assert isinstance(choose_attention(device, torch.bfloat16, (24, 8, 128)), DecodeAttention)
    assert isinstance(choose_attention(device, torch.bfloat16, (4, 2, 48)), FlashAttention)  # as in mini
    assert isinstance(choose_attention(device, torch.float32, (24, 8, 128)), MaskedAttention)


@pytest.mark.parametrize("heads", [(24, 8, 128), (4, 4, 64), (16, 1, 32)])
def test_decode_attention_is_attention(heads):
    """Against SDPA in float32; what lies behind a slot's positions, and who lies beside it, is not seen."""
    num_heads, num_kv_heads, head_dim = heads
    generator = torch.Generator("cuda").manual_seed(0)
    queries, keys, values = (
        torch.randn(shape, device="cuda", dtype=torch.bfloat16, generator=generator)
        for shape in ((64, num_heads, head_dim), *[(65, 700, num_kv_heads, head_dim)] * 2)
    )
    positions = torch.randint(0, 700, (64,), device="cuda", generator=generator)
    exact, way = MaskedAttention(), DecodeAttention()
    expected = exact.attend(queries.float(), keys.float(), values.float(), exact.reach(positions, 700))
    for slot, last in enumerate(positions.tolist()):
        keys[slot, last + 1 :], values[slot, last + 1 :] = 1e4, -1e4
    found = way.attend(queries, keys, values, way.reach(positions, 700))
    torch.testing.assert_close(found.float(), expected, atol=2e-2, rtol=1e-2)
    alone = way.attend(queries[:3], keys[:3], values[:3], way.reach(positions[:3], 700))
    assert torch.equal(alone, found[:3])


def test_slots_fill_the_card_and_too_many_are_refused(checkpoint_on):
    checkpoint = checkpoint_on("cuda", torch.bfloat16)
    engine = ContinuousEngine(checkpoint)
    assert engine.num_slots == 512  # a model of 20 MB: more would fit, and win nothing
    with pytest.raises(ConfigError, match=r"set model\.slots=\d+$"):
        ContinuousEngine(checkpoint, num_slots=10_000_000)


def test_what_is_free_changes_no_number_of_slots():
    device = torch.device("cuda")
    room, free = room_bytes(device, 0.5, 0), free_bytes(device)
    held = torch.empty(2**32, dtype=torch.int8, device=device)
    assert room_bytes(device, 0.5, 0) == room
    assert free_bytes(device) <= free - held.nbytes
    del held  # torch keeps its memory for later
    assert free_bytes(device) >= free


def admit_without_waiting(engine: ContinuousEngine) -> None:
    """torch itself says where it would wait."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.inference_mode():
            engine._admit()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_admission_waits_for_nothing_that_the_gpu_has_in_hand(checkpoint_on, items):
    """Whisper's features are computed beforehand, with the voices."""
    checkpoint = checkpoint_on("cuda", torch.bfloat16)
    engine = ContinuousEngine(checkpoint, num_slots=8)
    expected = codes_of(engine, items[:8])
    # pinned memory of each size is had once
    for item in items[:8]:
        engine.add(item)
    admit_without_waiting(engine)
    spoken = [codes for _ in range(10_000) if engine.busy for _, codes in engine.advance()]
    assert {row.utterance_id: (row.codes.tolist(), row.finish_reason) for row in spoken} == expected


def test_a_voice_without_whisper_is_admitted_without_waiting_too(items):
    engine = ContinuousEngine(load_checkpoint("mini", device="cuda", semantic="off", max_positions=640))
    packed = engine.checkpoint.prompt_format
    voice = SpeakerPrompt("v", "", items[0].sample.audio_ids_concat, np.zeros(0, np.int16), 1.0, None)
    request = SynthesisRequest(0, "u", "voice.flac", None, TEXTS[0], "en", 0)
    engine.add(GenerationItem("u", packed.pack(request, voice, max_new_frames=20), seed=0))
    admit_without_waiting(engine)


def test_a_full_card_is_a_device_fault():
    free, _ = torch.cuda.mem_get_info()
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(2 * free, dtype=torch.int8, device="cuda")
    assert is_device_fault(caught.value)
