"""A character model with a CTC head, as transformers has it (Wav2Vec2, HuBERT, WavLM, MMS)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer

from pipeline.audio import Waveform, resample
from pipeline.errors import CheckpointError
from pipeline.evaluators.checkpoints import loaded_id, loading, refuse_missing_weights

_KIND = "a CTC checkpoint with a tokenizer of characters"


class CtcModel:
    """`characters` maps single characters to ids; `delimiter` is the id between words, if there is one."""

    def __init__(self, spec: str, revision: str | None = None, device: str = "cpu") -> None:
        """`spec` is a local folder or a hub id. Raises CheckpointError."""
        with loading(spec, _KIND):
            model, info = AutoModelForCTC.from_pretrained(
                spec, revision=revision, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            refuse_missing_weights(spec, _KIND, info)
            tokenizer: Any = AutoTokenizer.from_pretrained(spec, revision=revision)
            self._features: Any = AutoFeatureExtractor.from_pretrained(spec, revision=revision)
            self._model: Any = model.to(device).eval()
            vocabulary: dict[str, int] = tokenizer.get_vocab()
        delimiter = getattr(tokenizer, "word_delimiter_token", None)
        self.id = loaded_id(spec, revision, model.config)
        self.blank = int(tokenizer.pad_token_id)
        self.delimiter = None if delimiter is None else vocabulary.get(delimiter)
        apart = {self.blank, self.delimiter}
        self.characters = {
            char: number for char, number in vocabulary.items() if len(char) == 1 and number not in apart
        }
        if not self.characters or max(vocabulary.values()) >= model.config.vocab_size:
            raise CheckpointError(f"{spec}: its tokenizer is not one of characters that its head knows")

    def log_probs(self, waveform: Waveform) -> torch.Tensor:
        """[T x V] on the CPU. Raises RowError for a clip that cannot be resampled."""
        rate = self._features.sampling_rate
        samples = resample(waveform, rate).samples
        inputs = self._features(samples, sampling_rate=rate, return_tensors="pt")["input_values"]
        with torch.inference_mode():
            logits = self._model(inputs.to(self._model.device)).logits[0]
        return torch.log_softmax(logits.float(), dim=-1).cpu()
