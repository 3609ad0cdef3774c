from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import HiggsAudioV2Processor

from pipeline.engine.delay_pattern import build_delay_pattern, codes_of_frames, revert_delay_pattern

BOS, EOS = 1024, 1025
shapes = st.tuples(st.integers(1, 13), st.integers(0, 30))


def random_codes(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(shape[0] * 100 + shape[1]).integers(0, BOS, shape)


def test_three_codebooks_by_hand():
    codes = np.array([[1, 2], [3, 4], [5, 6]])
    expected = [
        [BOS, 1, 2, EOS, EOS, EOS],
        [BOS, BOS, 3, 4, EOS, EOS],
        [BOS, BOS, BOS, 5, 6, EOS],
    ]
    assert build_delay_pattern(codes, BOS, EOS).tolist() == expected


@given(shapes)
def test_round_trip(shape):
    codes = random_codes(shape)
    delayed = build_delay_pattern(codes, BOS, EOS)
    assert delayed.shape == (shape[0], shape[1] + shape[0] + 1)
    columns = revert_delay_pattern(delayed)
    assert (columns[:, 0] == BOS).all()
    assert (columns[:, -1] == EOS).all()
    assert np.array_equal(columns[:, 1:-1], codes)


@given(shapes)
def test_equals_the_processor_of_transformers(shape):
    codes = random_codes(shape)
    ids = SimpleNamespace(audio_stream_bos_id=BOS, audio_stream_eos_id=EOS)
    stream = np.pad(
        np.pad(codes, ((0, 0), (1, 0)), constant_values=BOS), ((0, 0), (0, 1)), constant_values=EOS
    )
    theirs = HiggsAudioV2Processor.build_delay_pattern(ids, torch.from_numpy(stream)[None])[0]
    ours = build_delay_pattern(codes, BOS, EOS)
    assert np.array_equal(ours, theirs.numpy())
    reverted = HiggsAudioV2Processor.revert_delay_pattern(ids, theirs.T)
    assert np.array_equal(revert_delay_pattern(ours), reverted.numpy().T)


def test_too_few_columns_hold_no_whole_one():
    assert revert_delay_pattern(np.zeros((8, 5), int)).shape == (8, 0)


def batch_decode(frames: np.ndarray) -> np.ndarray:
    """The codes that transformers' processor hands to its codec."""
    heard = []

    class Codec:
        def decode(self, codes):
            heard.append(codes)
            return SimpleNamespace(audio_values=torch.zeros(1))

    processor = SimpleNamespace(
        audio_stream_bos_id=BOS,
        audio_stream_eos_id=EOS,
        audio_tokenizer=Codec(),
        revert_delay_pattern=lambda ids: HiggsAudioV2Processor.revert_delay_pattern(None, ids),
    )
    HiggsAudioV2Processor.batch_decode(processor, torch.from_numpy(frames)[None])
    return heard[0][0].numpy()


@given(st.integers(2, 12), st.integers(0, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_generated_frames_equal_the_processor_up_to_a_column_that_says_eos(num_codebooks, extra, seed, ends):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, BOS, (num_codebooks + extra, num_codebooks))
    frames[rng.random(frames.shape) < 0.02] = EOS
    frames = np.concatenate([np.full((1, num_codebooks), BOS), frames])
    if ends:
        frames = np.concatenate([frames, np.full((1 + seed % 3, num_codebooks), EOS)])
    codes, ended = codes_of_frames(frames, BOS, EOS)
    theirs = batch_decode(frames)
    first_codebook = revert_delay_pattern(frames[1:].T)[0, : theirs.shape[1]].tolist()
    kept = first_codebook.index(EOS) if EOS in first_codebook else theirs.shape[1]
    assert np.array_equal(codes, theirs[:, :kept])
    assert codes.dtype == np.uint16
    assert ended == (ends or EOS in first_codebook)


def test_wind_down_by_hand():
    # 3 codebooks, 2 frames; the first codebook says EOS at step 3, the others each one step later
    frames = np.array([[BOS] * 3, [1, BOS, BOS], [2, 3, BOS], [EOS, 4, 5], [EOS, EOS, 6], [EOS] * 3])
    codes, ended = codes_of_frames(frames, BOS, EOS)
    assert codes.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert ended
    # the third codebook misses its turn: transformers then keeps a column [EOS, EOS, 9]
    late = np.array(
        [[BOS] * 3, [1, BOS, BOS], [2, 3, BOS], [EOS, 4, 5], [EOS, EOS, 6], [EOS, EOS, 9], [EOS] * 3]
    )
    assert codes_of_frames(late, BOS, EOS)[0].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert batch_decode(late).shape == (3, 3)


def test_cut_off_before_the_end_is_not_ended():
    frames = np.array([[BOS] * 2, [1, BOS], [2, 3], [4, 5]])
    codes, ended = codes_of_frames(frames, BOS, EOS)
    assert codes.tolist() == [[1, 2], [3, 5]]
    assert not ended
