"""Generation by transformers' own loop, one static batch after another; the oracle for faster engines.

What transformers does, and we keep: the first frame is all BOS; an EOS in any codebook starts a wind-down
of K steps; repetition-aware sampling (RAS) draws anew, from the raw logits, a code that was said twice in
the last seven frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.engine.base import GenerationItem, Sampling, sampling_of
from pipeline.engine.chat_prompt import ModelInputs
from pipeline.engine.checkpoint import Checkpoint
from pipeline.engine.delay_pattern import codes_of_frames
from pipeline.engine.device import is_device_fault
from pipeline.errors import CheckpointError, EngineFatalError
from pipeline.records import GeneratedCodes

if TYPE_CHECKING:
    import torch

ENGINE_ID = "transformers-generate/1"


class TransformersEngine:
    """Batched generation with `HiggsAudioV2ForConditionalGeneration.generate`.

    The same list of items gives the same codes. Another list may not: the rows of a batch draw from one
    stream of random numbers. Not thread-safe: one call to `generate` at a time in a process.
    """

    id = ENGINE_ID

    def __init__(
        self, checkpoint: Checkpoint, sampling: Sampling | None = None, *, batch_size: int = 8
    ) -> None:
        if not isinstance(checkpoint.model.config.eos_token_id, int):
            raise CheckpointError(f"{checkpoint.id}: generation needs one eos_token_id in config.json")
        self.checkpoint = checkpoint
        self.sampling = sampling or Sampling()
        self.batch_size = batch_size

    def generate(self, items: Sequence[GenerationItem]) -> Iterator[GeneratedCodes]:
        """Codes of every item, in the order of `items`; T may be 0.

        Items of equal sampling settings are batched in their order. `finish_reason` is `length` where the
        model did not end within the sample's `max_new_frames`. Raises EngineFatalError when CUDA fails:
        the process is then of no more use.
        """
        by_sampling: dict[Sampling, list[int]] = {}
        for index, item in enumerate(items):
            by_sampling.setdefault(sampling_of(item, self.sampling), []).append(index)
        done: dict[int, GeneratedCodes] = {}
        following = 0
        for sampling, indices in by_sampling.items():
            for start in range(0, len(indices), self.batch_size):
                batch = indices[start : start + self.batch_size]
                done.update(
                    zip(batch, self._generate_batch([items[i] for i in batch], sampling), strict=True)
                )
                while following in done:
                    yield done.pop(following)
                    following += 1

    def _generate_batch(self, items: list[GenerationItem], sampling: Sampling) -> list[GeneratedCodes]:
        prompt_format = self.checkpoint.prompt_format
        inputs = [prompt_format.unpack(item.sample) for item in items]
        # a frame is whole K steps after its first code, and the all-BOS frame comes before the first
        limits = np.array([item.sample.max_new_frames + prompt_format.num_codebooks for item in items])
        try:
            frames = self._generate_frames(inputs, limits, sampling, [item.seed for item in items])
        except RuntimeError as error:
            if not is_device_fault(error):
                raise
            reason = " ".join(str(error).split())[:300]
            raise EngineFatalError(
                f"{self.id}: {reason}: restart, with a smaller model.batch_size if it lacks memory"
            ) from error
        generated = []
        for item, limit, row in zip(items, limits, frames, strict=True):
            # past its limit a row is filled up with EOS, which is not the model's own
            codes, ended = codes_of_frames(row[:limit], prompt_format.stream_bos, prompt_format.stream_eos)
            generated.append(
                GeneratedCodes(item.utterance_id, codes, "eos" if ended else "length", item.seed)
            )
        return generated

    def _generate_frames(
        self, inputs: list[ModelInputs], limits: npt.NDArray[np.int64], sampling: Sampling, seeds: list[int]
    ) -> npt.NDArray[np.int64]:
        """Frames [B, W, K] from the all-BOS one on; row i is its own up to `limits[i]` frames."""
        import torch
        from transformers import StoppingCriteriaList

        model, device = self.checkpoint.model, self.checkpoint.device
        tensors = self._collate(inputs)
        ends = tensors["input_ids"].shape[1] + torch.from_numpy(limits).to(device)
        with _seeded(seeds, device), self._semantic(inputs):
            generated: torch.Tensor = model.generate(
                **tensors,
                generation_config=_generation_config(model.config, sampling, int(limits.max())),
                stopping_criteria=StoppingCriteriaList([_row_limits(ends)]),
            )
        return generated[:, max(len(row.audio_input_ids) for row in inputs) :].cpu().numpy()

    def _collate(self, inputs: list[ModelInputs]) -> dict[str, torch.Tensor]:
        import torch

        # ids are padded at the left, audio at the right: transformers' loop counts audio frames from the left
        config, device = self.checkpoint.model.config, self.checkpoint.device
        longest = max(len(row.input_ids) for row in inputs)
        widest = max(len(row.audio_input_ids) for row in inputs)
        ids = np.full((len(inputs), longest), config.pad_token_id, dtype=np.int64)
        attention = np.zeros((len(inputs), longest), dtype=np.int64)
        audio = np.full(
            (len(inputs), widest, config.num_codebooks), config.audio_stream_eos_id, dtype=np.int64
        )
        audio_mask = np.zeros((len(inputs), widest), dtype=np.bool_)
        for i, row in enumerate(inputs):
            ids[i, longest - len(row.input_ids) :] = row.input_ids
            attention[i, longest - len(row.input_ids) :] = 1
            audio[i, : len(row.audio_input_ids)] = row.audio_input_ids
            audio_mask[i, : len(row.audio_input_ids)] = True
        arrays: dict[str, npt.NDArray[Any]] = {"input_ids": ids, "attention_mask": attention}
        if widest:  # transformers takes no frames at all for a prompt that is in its cache
            arrays |= {"audio_input_ids": audio, "audio_input_ids_mask": audio_mask}
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}

    def _semantic(self, inputs: list[ModelInputs]) -> AbstractContextManager[None]:
        waveforms = [waveform for row in inputs for waveform in row.waveforms]
        if self.checkpoint.semantic is None or not waveforms:
            return nullcontext()
        import torch

        from pipeline.engine.semantic import inject_features

        with torch.no_grad():
            features = self.checkpoint.semantic(waveforms)
        embed_tokens = self.checkpoint.model.model.embed_tokens
        return inject_features(embed_tokens, self.checkpoint.prompt_format.special.audio, features)


def _generation_config(config: Any, sampling: Sampling, max_new_tokens: int) -> Any:
    from transformers import GenerationConfig

    from pipeline.engine.sampler import RAS_MAX_REPEATS, RAS_WINDOW

    settings: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        settings = {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "ras_win_len": RAS_WINDOW,
            "ras_win_max_num_repeat": RAS_MAX_REPEATS,
        }
    return GenerationConfig(
        **settings,
        max_new_tokens=max_new_tokens,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )


def _row_limits(max_lengths: torch.Tensor) -> Callable[..., torch.Tensor]:
    """A stopping criterion with a length for every row [B], prompt included."""

    def reached(input_ids: torch.Tensor, _scores: Any, **_kwargs: Any) -> torch.Tensor:
        return input_ids.shape[1] >= max_lengths

    return reached


@contextmanager
def _seeded(seeds: Sequence[int], device: torch.device) -> Iterator[None]:
    """Random numbers that depend on `seeds` alone; the process's own generators are as before afterwards."""
    import torch

    digest = hashlib.sha256(" ".join(map(str, seeds)).encode()).digest()
    seed = int.from_bytes(digest[:8], "little") >> 1
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
