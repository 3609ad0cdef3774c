"""Whisper, as transformers has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, WhisperForConditionalGeneration, WhisperProcessor
from transformers.modeling_outputs import BaseModelOutput

from pipeline.audio import Waveform, resample
from pipeline.errors import CheckpointError
from pipeline.evaluators.base import Transcript, without_speech
from pipeline.evaluators.checkpoints import loaded_id, loading, refuse_missing_weights
from pipeline.languages import primary_subtag

_KIND = "a Whisper checkpoint"
_BATCH_CLIPS = 16  # on a GPU
# where Whisper's token is not the BCP-47 subtag
_WHISPER_CODES = {"nb": "no", "jv": "jw", "fil": "tl", "cmn": "zh", "arb": "ar", "iw": "he"}
_BCP47 = {"jw": "jv"}


@dataclass(frozen=True, slots=True, eq=False)
class _Clip:
    """What is shown to the model: samples [N] at its rate, and Whisper's code of the language told."""

    index: int
    samples: Any
    code: str


class WhisperTranscriber:
    """Greedy decoding in float32 with the language told; no temperature fallback, which samples.

    Clips within the model's window (30 s) go in batches on a GPU: each is padded to the window whatever its
    mates, so only rounding can differ from one at a time, which is how a CPU goes. Longer clips go one at a
    time, window by window along the timestamps; language and no-speech are of their first window.
    """

    def __init__(
        self, spec: str, revision: str | None = None, device: str = "cpu", batch_clips: int | None = None
    ) -> None:
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
        self._batch_clips = batch_clips or (_BATCH_CLIPS if device != "cpu" else 1)
        self.id = loaded_id(spec, revision, model.config)

    def transcribe(self, waveforms: Sequence[Waveform], languages: Sequence[str]) -> list[Transcript]:
        """One transcript per waveform, in order; a language without a token is left unscored."""
        transcripts: dict[int, Transcript] = {}
        shown: list[_Clip] = []
        for i, (waveform, language) in enumerate(zip(waveforms, languages, strict=True)):
            code = _WHISPER_CODES.get(primary_subtag(language), primary_subtag(language))
            if code not in (self._languages or {"en"}):
                reason = f"{self.id} does not know the language {language}"
                transcripts[i] = Transcript(None, reason)
            elif (silent := without_speech(waveform)) is not None:
                transcripts[i] = silent
            else:
                shown.append(_Clip(i, resample(waveform, self._features.sampling_rate).samples, code))
        for batch in self._batches(shown):
            heard = self._hear([clip.samples for clip in batch], [clip.code for clip in batch])
            transcripts.update((clip.index, one) for clip, one in zip(batch, heard, strict=True))
        return [transcripts[i] for i in range(len(waveforms))]

    def _batches(self, clips: Sequence[_Clip]) -> list[list[_Clip]]:
        """By length, since a batch decodes for as long as its longest text; long-form clips alone."""
        ordered = sorted(clips, key=lambda clip: len(clip.samples))
        short = [clip for clip in ordered if not self._is_long(clip.samples)]
        size = self._batch_clips
        batches = [short[start : start + size] for start in range(0, len(short), size)]
        return batches + [[clip] for clip in ordered[len(short) :]]

    def _is_long(self, samples: Any) -> bool:
        return len(samples) > int(self._features.n_samples)

    def _hear(self, clips: Sequence[Any], codes: Sequence[str]) -> list[Transcript]:
        """Of clips that fit into the window, or of one that does not."""
        long = self._is_long(clips[0])
        # the defaults would cut a long clip at the window's end, and its tail count as deletions
        window = {"truncation": False, "padding": "longest"} if long else {}
        inputs = self._processor(
            list(clips),
            sampling_rate=self._features.sampling_rate,
            return_tensors="pt",
            return_attention_mask=True,
            **window,
        ).to(self._model.device)
        # an English-only checkpoint has neither language nor task tokens, and refuses both
        told = {"language": list(codes), "task": "transcribe"} if self._languages else {}
        generation = self._model.generation_config
        logprobs = _GreedyLogprobs(generation.eos_token_id)
        with torch.inference_mode():
            first = inputs["input_features"][..., : self._features.nb_max_frames]
            encoded = BaseModelOutput(self._model.get_encoder()(first).last_hidden_state)
            facts = self._first_step(encoded)
            tokens = self._model.generate(
                **inputs,
                **told,
                **({} if long else {"encoder_outputs": encoded}),
                logits_processor=[logprobs],
                return_timestamps=long,
                do_sample=False,
                num_beams=1,
                condition_on_prev_tokens=False,
            )
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [
            Transcript(text.strip(), None, *fact, avg_logprob=avg)
            for text, fact, avg in zip(texts, facts, logprobs.averages(), strict=True)
        ]

    def _first_step(self, encoded: BaseModelOutput) -> list[tuple[str | None, float | None, float]]:
        """Language, its probability and that of no speech, from the logits of the start token alone.

        As in OpenAI's `detect_language` and `no_speech_prob`: the first among the languages, the last among
        all tokens. The token of no speech has several names; it is the one before `<|notimestamps|>`.
        """
        config = self._model.generation_config
        count = encoded.last_hidden_state.shape[0]
        start = torch.full((count, 1), config.decoder_start_token_id, device=self._model.device)
        logits = self._model(encoder_outputs=encoded, decoder_input_ids=start, use_cache=False).logits
        logits = logits[:, -1].float()
        silences = logits.softmax(dim=-1)[:, config.no_timestamps_token_id - 1].tolist()
        if not self._languages:
            return [(None, None, silence) for silence in silences]
        names = list(config.lang_to_id)
        likely = logits[:, [config.lang_to_id[name] for name in names]].softmax(dim=-1).max(dim=-1)
        codes = [names[i].strip("<|>") for i in likely.indices.tolist()]
        return [
            (_BCP47.get(code, code), probability, silence)
            for code, probability, silence in zip(codes, likely.values.tolist(), silences, strict=True)
        ]


class _GreedyLogprobs(LogitsProcessor):  # type: ignore[misc]
    """Watches greedy decoding from the end of the processors' list: the token it takes is the likeliest one.

    Counts tokens until the end token, that included, as OpenAI's `avg_logprob` does; keeps no logits.
    """

    def __init__(self, end: int) -> None:
        self._end = end
        self._total: Any = 0.0
        self._count: Any = 0
        self._open: Any = None

    def set_begin_index(self, begin_index: int) -> None:
        """Whisper's `generate` calls this before each window."""
        self._open = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        best = scores.float().log_softmax(dim=-1).max(dim=-1)
        if self._open is None:
            self._open = torch.ones_like(best.indices, dtype=torch.bool)
        self._total = self._total + best.values * self._open
        self._count = self._count + self._open.long()
        self._open = self._open & (best.indices != self._end)
        return scores

    def averages(self) -> list[float]:
        """Mean log-probability per token [B]."""
        return [float(average) for average in (self._total / self._count).tolist()]


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
