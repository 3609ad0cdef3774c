"""What the model is fed: a reference voice and a text as ChatML token ids and audio codes.

A turn is `<|start_header_id|>{role}<|end_header_id|>\\n\\n{content}<|eot_id|>`, the first one after
`<|begin_of_text|>`; a clip that the assistant says is `<|audio_out_bos|><|AUDIO_OUT|>...<|audio_eos|>`.
All ids come from the checkpoint's tokenizer and config.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.audio import WHISPER_SAMPLE_RATE, from_int16
from pipeline.codecs.base import Codes
from pipeline.engine.delay_pattern import build_delay_pattern
from pipeline.engine.dialogue import one_turn_a_line
from pipeline.engine.frame_budget import WHISPER_POOLING, num_semantic_frames
from pipeline.engine.model_files import locate, read_config
from pipeline.engine.prompt_config import PromptConfig
from pipeline.engine.special_tokens import SpecialIds, contains_special_token, encode_user_text, special_ids
from pipeline.engine.voices import Recorded, SceneBlock, listed_in_scene, scene_block, voices_of
from pipeline.errors import CheckpointError, RowError
from pipeline.records import ChatMLSample, SpeakerPrompt, SynthesisRequest

__all__ = ["ModelInputs", "PromptFormat", "PromptStyle", "SemanticMode", "contains_special_token"]

PromptStyle = Literal["document", "original"]
SemanticMode = Literal["auto", "on", "off"]

IGNORED = -100  # a label that no loss counts
_INSTRUCTION = {
    "document": "Generate speech in the provided voice.",
    "original": "Generate audio following instruction.",
}
_ORIGINAL_SCENE = "Audio is recorded from a quiet room."  # what the original CLI says when told nothing
_HEARD = "<|audio_bos|><|AUDIO|><|audio_eos|>"


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """One sample as arrays: ids [L], delayed codes of all its clips [W, K], 16 kHz waveforms [N]."""

    input_ids: npt.NDArray[np.int64]
    audio_input_ids: npt.NDArray[np.int64]
    waveforms: list[npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How one checkpoint wants its prompts. Needs the tokenizer and configs, no weights.

    `document` is our own chat (decision 5), `original` that of the original repository's CLI.
    `max_semantic_frames` is 0 where the semantic pathway is absent or off.
    """

    id: str
    style: PromptStyle
    tokenizer: Any  # tokenizers.Tokenizer
    special: SpecialIds
    num_codebooks: int
    stream_bos: int
    stream_eos: int
    max_positions: int
    max_semantic_frames: int

    @classmethod
    def load(
        cls,
        spec: str,
        revision: str | None = None,
        *,
        style: PromptStyle = "document",
        semantic: SemanticMode = "auto",
        max_positions: int | None = None,
        known_id: str | None = None,
    ) -> PromptFormat:
        """The format of `mini`, `standin`, a local folder or a hub id. Raises CheckpointError.

        `max_positions` is what an engine's slot holds, where that is less than the model reads; `known_id`:
        see `locate`.
        """
        files = locate(spec, revision, weights=False, known_id=known_id)
        return cls.from_folder(
            files.folder, files.id, style=style, semantic=semantic, max_positions=max_positions
        )

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        checkpoint_id: str,
        *,
        style: PromptStyle,
        semantic: SemanticMode,
        max_positions: int | None = None,
    ) -> PromptFormat:
        from tokenizers import Tokenizer

        config = PromptConfig.from_json(read_config(folder), checkpoint_id)
        tokenizer_file = folder / "tokenizer.json"
        if not tokenizer_file.is_file():
            raise CheckpointError(f"{checkpoint_id}: no tokenizer.json beside config.json")
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
        return cls(
            id=checkpoint_id,
            style=style,
            tokenizer=tokenizer,
            special=special_ids(tokenizer, config, checkpoint_id),
            num_codebooks=config.num_codebooks,
            stream_bos=config.audio_stream_bos_id,
            stream_eos=config.audio_stream_eos_id,
            max_positions=min(
                max_positions or config.max_position_embeddings, config.max_position_embeddings
            ),
            max_semantic_frames=_max_semantic_frames(folder, checkpoint_id, semantic),
        )

    @property
    def num_codes(self) -> int:
        """Real codes of a codebook; the ids above are BOS and EOS of the stream."""
        return min(self.stream_bos, self.stream_eos)

    def pack(
        self,
        request: SynthesisRequest,
        *prompts: SpeakerPrompt,
        max_new_frames: int,
        label_codes: Codes | None = None,
    ) -> ChatMLSample:
        """A row and its voices as what the model is fed; with `label_codes` [K, T] a training sample.

        `prompts` are the row's references in the order of its speakers: one, if it has no `voices`.
        Without labels the ids end where the model is to speak, after `<|audio_out_bos|>`. With labels
        they go on with the target, the target's codes follow the prompt's in `audio_ids_concat`, and
        `label_ids` is -100 but for the target's `<|audio_out_bos|>`, `<|audio_eos|>` and `<|eot_id|>`
        (its frames are learned from `label_audio_ids`).
        Raises RowError `text_has_special_token` and `prompt_too_long`, and CheckpointError for codes of
        a codec that is not this model's.
        """
        s = self.special
        voices = voices_of(request, prompts)
        listed = listed_in_scene(voices, all_together=self.style == "original")
        scene = scene_block(request.scene or self._default_scene, listed)
        in_scene = {voice.name for voice in listed}
        spoken = [v for v in voices if isinstance(v, Recorded) and v.name not in in_scene]
        text = one_turn_a_line(request.target_text)
        ids = [s.begin_of_text, *self._turn("system", self._system(scene))]
        for voice in spoken:
            ids += self._turn("user", self._reference(voice.said, self._num_heard(voice.prompt)))
            ids += self._turn("assistant", self._clip(voice.prompt.codes))
        ids += self._turn("user", encode_user_text(self.tokenizer, text, ("\n\n", "")))
        clips, label_ids = [prompt.codes for prompt in prompts], None
        if label_codes is None:
            ids += [*self._header("assistant"), *self._plain("\n\n"), s.audio_out_bos]
            positions = len(ids) + max_new_frames + self.num_codebooks
        else:
            target = self._turn("assistant", self._clip(label_codes))
            learned = {s.audio_out_bos, s.audio_eos, s.eot}
            label_ids = [IGNORED] * len(ids) + [i if i in learned else IGNORED for i in target]
            ids += target
            clips.append(label_codes)
            positions = len(ids)
        if positions > self.max_positions:
            raise RowError(
                "prompt_too_long",
                f"{len(ids)} prompt tokens and up to {max_new_frames} frames, there is room "
                f"for {self.max_positions}: shorten the reference or the text",
            )
        messages = self._messages(scene, spoken, text)
        if label_codes is not None:
            messages.append(_message("assistant", audio_url=request.audio_uri))
        waveforms = [prompt.waveform for prompt in prompts] if self.hears_reference else []
        return ChatMLSample(
            messages=messages,
            input_ids=ids,
            audio_ids_concat=np.concatenate([np.empty((self.num_codebooks, 0), np.uint16), *clips], axis=1),
            audio_ids_start=_starts(clip.shape[1] for clip in clips),
            audio_waveforms_concat=np.concatenate([np.empty(0, np.int16), *waveforms]),
            audio_waveforms_start=_starts(map(len, waveforms)),
            audio_sample_rate=WHISPER_SAMPLE_RATE,
            max_new_frames=max_new_frames,
            label_ids=label_ids,
            label_audio_ids=label_codes,
        )

    def unpack(self, sample: ChatMLSample) -> ModelInputs:
        """A sample as the model's inputs: clips with BOS, EOS and the delay pattern, waveforms as floats."""
        clips = [sample.audio_ids_concat[:, a:b] for a, b in pairwise(sample.audio_ids_start)]
        delayed = [build_delay_pattern(clip, self.stream_bos, self.stream_eos).T for clip in clips]
        bounds = sample.audio_waveforms_start
        return ModelInputs(
            input_ids=np.asarray(sample.input_ids, dtype=np.int64),
            audio_input_ids=np.concatenate([np.empty((0, self.num_codebooks), np.int64), *delayed]),
            waveforms=[from_int16(sample.audio_waveforms_concat[a:b]) for a, b in pairwise(bounds)],
        )

    @property
    def hears_reference(self) -> bool:
        """Whether prompts carry semantic frames. The original chat has no place for them."""
        return self.style == "document" and self.max_semantic_frames > 0

    def _messages(
        self, scene: SceneBlock | None, spoken: Sequence[Recorded], text: str
    ) -> list[dict[str, str | None]]:
        """Messages of one role in a row are the parts of one turn: texts and clips of the system's."""
        messages = []
        instruction = _INSTRUCTION[self.style]
        if scene is None:
            messages.append(_message("system", text=instruction))
        else:
            first, *rest = scene.texts
            parts = [f"{instruction}\n\n<|scene_desc_start|>\n{first}", *rest]
            parts[-1] += "\n<|scene_desc_end|>"
            messages.append(_message("system", text=parts[0]))
            for voice, part in zip(scene.clips, parts[1:], strict=True):
                messages += [_message("system", audio_url=voice.audio_url), _message("system", text=part)]
        for voice in spoken:
            said = f"{voice.said} {_HEARD}" if self.style == "document" else voice.said
            messages += [_message("user", text=said), _message("assistant", audio_url=voice.audio_url)]
        return [*messages, _message("user", text=text)]

    @property
    def _default_scene(self) -> str | None:
        return _ORIGINAL_SCENE if self.style == "original" else None

    def _system(self, scene: SceneBlock | None) -> list[int]:
        s, instruction = self.special, "\n\n" + _INSTRUCTION[self.style]
        if scene is None:
            return self._plain(instruction)
        ids = [*self._plain(instruction + "\n\n"), s.scene_start]
        last = len(scene.texts) - 1
        for i, text in enumerate(scene.texts):
            around = ("\n" if i == 0 else "", "\n" if i == last else "")
            ids += encode_user_text(self.tokenizer, text, around)
            if i < last:
                ids += [s.audio_bos, *self.frame_ids(scene.clips[i].prompt.codes), s.audio_eos]
        return [*ids, s.scene_end]

    def _num_heard(self, prompt: SpeakerPrompt) -> int:
        """Semantic frames of a reference."""
        heard = num_semantic_frames(len(prompt.waveform)) if self.hears_reference else 0
        if heard > self.max_semantic_frames > 0:
            raise RowError(
                "prompt_too_long",
                f"reference of {prompt.duration_s:.1f} s, the Whisper encoder reads "
                f"{self.max_semantic_frames / 25:g} s: cut it",
            )
        return heard

    def _reference(self, text: str, heard: int) -> list[int]:
        # Without the pathway the placeholder stays in `messages` alone: released weights were never
        # trained to read it, and an `<|AUDIO|>` with nothing behind it is noise in the prompt.
        if not heard:
            return encode_user_text(self.tokenizer, text, ("\n\n", ""))
        s = self.special
        return [
            *encode_user_text(self.tokenizer, text, ("\n\n", " ")),
            s.audio_bos,
            *[s.audio] * heard,
            s.audio_eos,
        ]

    def _clip(self, codes: Codes) -> list[int]:
        s = self.special
        return [*self._plain("\n\n"), s.audio_out_bos, *self.frame_ids(codes), s.audio_eos]

    def frame_ids(self, codes: Codes) -> list[int]:
        """Placeholders of a clip's codes [K, T]. Raises CheckpointError for those of another codec."""
        if codes.shape[0] != self.num_codebooks or codes.max(initial=0) >= self.num_codes:
            raise CheckpointError(
                f"{self.id} reads {self.num_codebooks} codebooks of {self.num_codes}, got codes "
                f"{list(codes.shape)} up to {codes.max(initial=0)}: use the codec it was trained with"
            )
        # BOS, T codes and EOS, then one delay token for each frame by which the last codebook is late
        frames, late = codes.shape[1] + 2, self.num_codebooks - 1
        return [self.special.audio_out] * frames + [self.special.delay] * late

    def _turn(self, role: str, content: list[int]) -> list[int]:
        return [*self._header(role), *content, self.special.eot]

    def _header(self, role: str) -> list[int]:
        return [self.special.start_header, *self._plain(role), self.special.end_header]

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _message(role: str, *, text: str | None = None, audio_url: str | None = None) -> dict[str, str | None]:
    return {"role": role, "type": "audio" if text is None else "text", "text": text, "audio_url": audio_url}


def _starts(lengths: Any) -> list[int]:
    return [0, *np.cumsum(np.fromiter(lengths, dtype=np.int64)).tolist()]


def _max_semantic_frames(folder: Path, checkpoint_id: str, mode: SemanticMode) -> int:
    present = (folder / "semantic" / "config.json").is_file()
    if mode == "on" and not present:
        raise CheckpointError(
            f"{checkpoint_id} has no semantic (Whisper) pathway: use semantic 'auto' or 'off', or a "
            "checkpoint with a semantic/ folder"
        )
    if mode == "off" or not present:
        return 0
    return int(read_config(folder / "semantic")["max_source_positions"]) // WHISPER_POOLING
