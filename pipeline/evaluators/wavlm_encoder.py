"""WavLM with an x-vector head, as transformers has it (e.g. `microsoft/wavlm-base-plus-sv`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoFeatureExtractor, WavLMForXVector

from pipeline.audio import Waveform, resample
from pipeline.evaluators.base import SpeakerEmbedding, as_embedding, is_silent
from pipeline.evaluators.checkpoints import loaded_id, loading, refuse_missing_weights

_KIND = "a WavLM x-vector checkpoint"
_BATCH_S = 160.0  # padded seconds at once on a GPU; 100 windows of 1.6 s, or 16 clips of 10 s
_Samples = npt.NDArray[np.float32]


class WavLMEncoder:
    """X-vectors in float32.

    On a GPU in batches: of clips of like length, padded and masked, where the checkpoint normalises its
    features by layer (`feat_extract_norm` "layer", the large ones; within 1e-5 of one at a time); of clips
    of one length, unpadded, where it does so by group, which sees padding even when masked. On a CPU, where
    a batch wins nothing, one at a time.
    """

    def __init__(
        self, spec: str, revision: str | None = None, device: str = "cpu", batch_s: float | None = None
    ) -> None:
        """`spec` is a local folder or a hub id; `batch_s` bounds a batch's padded seconds (0: single clips).

        Raises CheckpointError.
        """
        with loading(spec, _KIND):
            model, info = _XVectorModel.from_pretrained(
                spec, revision=revision, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            refuse_missing_weights(spec, _KIND, info)
            self._features: Any = AutoFeatureExtractor.from_pretrained(spec, revision=revision)
            self._model: Any = model.to(device).eval()
        self._batch_s = (_BATCH_S if device != "cpu" else 0.0) if batch_s is None else batch_s
        self.id = loaded_id(spec, revision, model.config)

    def embed(self, waveforms: Sequence[Waveform]) -> list[SpeakerEmbedding]:
        """One x-vector per waveform, in order; unscored where a clip is silent or too short."""
        embeddings: dict[int, SpeakerEmbedding] = {}
        inputs: dict[int, _Samples] = {}
        rate = self._features.sampling_rate
        for i, waveform in enumerate(waveforms):
            if is_silent(waveform):
                embeddings[i] = SpeakerEmbedding(None, "no audio to take an embedding of")
                continue
            samples = resample(waveform, rate).samples
            if self._pooled_frames(len(samples)) < 2:  # a deviation needs two
                reason = f"{len(samples) / rate:.2f} s are too short for {self.id}"
                embeddings[i] = SpeakerEmbedding(None, reason)
                continue
            inputs[i] = self._features(samples, sampling_rate=rate)["input_values"][0]
        for batch in self._batches(inputs):
            vectors = self._x_vectors([inputs[i] for i in batch])
            embeddings.update((i, as_embedding(vector)) for i, vector in zip(batch, vectors, strict=True))
        return [embeddings[i] for i in range(len(waveforms))]

    def _batches(self, inputs: dict[int, _Samples]) -> Iterator[list[int]]:
        """Indices of clips that go together, the shortest first."""
        ordered = sorted(inputs, key=lambda i: len(inputs[i]))
        padded = self._model.config.feat_extract_norm == "layer"
        for _, clips in groupby(ordered, key=lambda i: 0 if padded else len(inputs[i])):
            batch: list[int] = []
            for i in clips:
                if batch and (len(batch) + 1) * len(inputs[i]) > self._batch_s * self._features.sampling_rate:
                    yield batch
                    batch = []
                batch.append(i)
            yield batch

    def _x_vectors(self, inputs: Sequence[_Samples]) -> list[npt.NDArray[np.float32]]:
        """Of clips that the shortest comes first of."""
        values = torch.nn.utils.rnn.pad_sequence([torch.as_tensor(one) for one in inputs], batch_first=True)
        lengths = torch.tensor([len(one) for one in inputs])
        # without padding the model is called as it would be for one clip, with no mask
        told = {}
        if len(inputs[0]) < len(inputs[-1]):
            told["attention_mask"] = (torch.arange(values.shape[1]) < lengths[:, None]).to(self._model.device)
        with torch.inference_mode():
            embeddings = self._model(values.to(self._model.device), **told).embeddings
        return list(embeddings.float().cpu().numpy())

    def _pooled_frames(self, samples: int) -> int:
        frames = int(self._model._get_feat_extract_output_lengths(samples))
        return int(self._model._get_tdnn_output_lengths(frames))


class _XVectorModel(WavLMForXVector):  # type: ignore[misc]
    """transformers' model with the lengths of its head put right: theirs forget the dilation, so that a
    masked batch pools frames of the padding (cosine 0.9998 to single clips)."""

    def _get_tdnn_output_lengths(self, input_lengths: Any) -> Any:
        head = zip(self.config.tdnn_kernel, self.config.tdnn_dilation, strict=True)
        return input_lengths - sum(dilation * (kernel - 1) for kernel, dilation in head)
