from __future__ import annotations

import pytest
import torch

from pipeline.engine import attention
from pipeline.engine.attention import MaskedAttention, choose_attention, span_block


def by_hand(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, positions: list[int]
) -> torch.Tensor:
    """Softmax attention of each head over its kv head's positions up to the slot's own, one at a time."""
    slots, heads, head_dim = queries.shape
    group = heads // keys.shape[2]
    out = torch.zeros(slots, heads, head_dim)
    for slot, last in enumerate(positions):
        for head in range(heads):
            scores = keys[slot, : last + 1, head // group] @ queries[slot, head] / head_dim**0.5
            out[slot, head] = scores.softmax(0) @ values[slot, : last + 1, head // group]
    return out.view(slots, -1)


def test_every_slot_looks_at_its_own_positions_and_no_further():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(3, 6, 16, generator=generator)
    keys, values = (torch.randn(4, 40, 2, 16, generator=generator) for _ in range(2))
    positions = [0, 17, 31]
    expected = by_hand(queries, keys, values, positions)
    for slot, last in enumerate(positions):
        keys[slot, last + 1 :], values[slot, last + 1 :] = 1e30, -1e30
    way = MaskedAttention()
    for span in (32, 40):
        found = way.attend(queries, keys, values, way.reach(torch.tensor(positions), span))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_cpu_has_masked_attention_in_whole_or_fine_blocks():
    assert isinstance(choose_attention(torch.device("cpu"), torch.float32, (4, 2, 16)), MaskedAttention)
    assert span_block(8, 2, 2, 64, torch.float32) in (64, 512)


@pytest.mark.parametrize(("changed", "block"), [(None, 64), (448, 512), (960, 512)])
def test_a_span_that_changes_a_bit_of_a_far_position_is_found_out(monkeypatch, changed, block):
    """A kernel for which a single span sums otherwise, and only for who looks back on more than 64 positions."""

    class Kernel(MaskedAttention):
        def attend(self, queries, keys, values, reach):
            # exact, so that by itself no span changes a bit
            seen = reach[:, 0, 0].double() @ torch.arange(1.0, reach.shape[-1] + 1).double()
            off = (reach.shape[-1] == changed) & (reach[:, 0, 0].sum(-1) > 64)
            return seen + off

    monkeypatch.setattr(attention, "MaskedAttention", Kernel)
    assert span_block(4, 2, 2, 16, torch.float32) == block


def test_a_way_that_fails_in_a_manner_of_its_own_is_left_out(monkeypatch):
    class OutOfResources(Exception):
        """As Triton's: no RuntimeError."""

    class Broken(MaskedAttention):
        def attend(self, *_):
            raise OutOfResources("shared memory")

    class Wrong(MaskedAttention):
        def attend(self, *args):
            return super().attend(*args) + 1

    def chosen(*ways):
        monkeypatch.setattr(attention, "_fast_ways", lambda _: iter(ways))
        return choose_attention(_Cuda("cpu"), torch.bfloat16, (4, 2, 16))

    good = MaskedAttention()
    assert chosen(Broken(), good) is good
    assert chosen(Wrong(), good) is good
    assert type(chosen(Broken(), Wrong())) is MaskedAttention


class _Cuda(str):
    """A CPU that says it is a GPU."""

    type = "cuda"


def test_the_decode_kernel_is_for_few_heads_of_a_size_that_it_can_address():
    pytest.importorskip("triton")
    from pipeline.engine.decode_attention import takes

    released, mini = (24, 8, 128), (4, 2, 48)
    assert [takes(heads) for heads in (released, mini, (64, 2, 128), (32, 2, 128))] == [
        True,
        False,
        False,
        True,
    ]
