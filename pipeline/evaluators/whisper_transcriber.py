"""Whisper, as transformers has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from pipeline.audio import Waveform, resample
from pipeline.errors import CheckpointError
from pipeline.evaluators.base import Transcript, is_silent, primary_subtag
from pipeline.evaluators.checkpoints import loaded_id, loading, refuse_missing_weights

_KIND = "a Whisper checkpoint"
# where Whisper's token is not the BCP-47 subtag
_WHISPER_CODES = {"nb": "no", "jv": "jw", "fil": "tl", "cmn": "zh", "arb": "ar", "iw": "he"}


class WhisperTranscriber:
    """Greedy decoding in float32, one clip at a time, with the language told.

    One at a time because it is exact: neither padding nor the length of a batch mate can change a text.
    No temperature fallback, which samples. Clips longer than the model's window (30 s) are decoded
    window by window along the timestamps.
    """

    def __init__(self, spec: str, revision: str | None = None, device: str = "cpu") -> None:
        """`spec` is a local folder or a hub id. Raises CheckpointError."""
        with loading(spec, _KIND):
            model, info = WhisperForConditionalGeneration.from_pretrained(
                spec, revision=revision, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            refuse_missing_weights(spec, _KIND, info)
            self._processor: Any = WhisperProcessor.from_pretrained(spec, revision=revision)
            self._model: Any = model.to(device).eval()
            self._languages = _languages(spec, model.generation_config)
        self._features: Any = self._processor.feature_extractor
        self.id = loaded_id(spec, revision, model.config)

    def transcribe(self, waveforms: Sequence[Waveform], languages: Sequence[str]) -> list[Transcript]:
        """One transcript per waveform, in order; a language without a token is left unscored."""
        return [self._one(*pair) for pair in zip(waveforms, languages, strict=True)]

    def _one(self, waveform: Waveform, language: str) -> Transcript:
        code = _WHISPER_CODES.get(primary_subtag(language), primary_subtag(language))
        if code not in (self._languages or {"en"}):
            return Transcript(None, f"{self.id} does not know the language {language}")
        # silence is where Whisper invents: it never gets to hear any
        if is_silent(waveform):
            return Transcript("")
        samples = resample(waveform, self._features.sampling_rate).samples
        long = len(samples) > self._features.n_samples
        # the defaults would cut a long clip at the window's end, and its tail count as deletions
        window = {"truncation": False, "padding": "longest"} if long else {}
        inputs = self._processor(
            samples,
            sampling_rate=self._features.sampling_rate,
            return_tensors="pt",
            return_attention_mask=True,
            **window,
        ).to(self._model.device)
        # an English-only checkpoint has neither language nor task tokens, and refuses both
        told = {"language": code, "task": "transcribe"} if self._languages else {}
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs,
                **told,
                return_timestamps=long,
                do_sample=False,
                num_beams=1,
                condition_on_prev_tokens=False,
            )
        return Transcript(self._processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())


def _languages(spec: str, generation_config: Any) -> frozenset[str]:
    """The codes of a multilingual checkpoint's language tokens, none for an English-only one."""
    multilingual = getattr(generation_config, "is_multilingual", None)
    if multilingual is False:
        return frozenset()
    tokens = getattr(generation_config, "lang_to_id", None)
    if not multilingual or not tokens:
        raise CheckpointError(
            f"{spec}: its generation_config.json has no is_multilingual and lang_to_id; "
            "take that file from the Whisper checkpoint it was made from"
        )
    return frozenset(token.strip("<|>") for token in tokens)
