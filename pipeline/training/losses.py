"""The language model as it is trained: losses of a batch by name.

transformers' own loss is not used: it masks the end of the stream, and would learn the reference.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, cross_entropy, l1_loss, rms_norm

from pipeline.engine.chat_prompt import IGNORED
from pipeline.engine.frame_budget import num_semantic_frames
from pipeline.engine.semantic import SemanticPathway, inject_features
from pipeline.training import shared_prompt_attention
from pipeline.training.collate import Batch
from pipeline.training.dual_ffn import hidden_states
from pipeline.training.phones import PHONES, PHONES_PER_FRAME
from pipeline.training.reading_guide import ReadingGuide

_MEL_FRAMES_PER_FEATURE = 4  # 100 Hz log-mel, 25 Hz features


def with_wrong_history(batch: Batch, share: float, num_codes: int) -> Batch:
    """The batch with a random `share` of the targets' frames, as they are heard back, from elsewhere.

    What a model says while it learns is always right, so it learns to go on from there and hardly to read;
    on its own it then follows its first mistake. Tacotron drops half of its history for that (Wang et al.
    2017, arXiv:1703.10135). References, labels, and the frames of BOS and EOS stay.
    """
    if share == 0:
        return batch
    codes = batch.audio_input_ids[0]
    spoken = torch.isin(batch.audio_at, batch.audio_positions)
    wrong = spoken & (torch.rand(len(codes), device=codes.device) < share)
    others = codes[torch.randint(len(codes), (len(codes),), device=codes.device)]
    whole = (codes < num_codes).all(1) & (others < num_codes).all(1)
    return replace(batch, audio_input_ids=torch.where((wrong & whole)[:, None], others, codes)[None])


class TrainedModel(nn.Module):
    """The model with its text head, its semantic pathway, and the head that the semantic loss needs.

    No head but the audio head is part of what is released. `forward` gives the losses: `audio_0` to
    `audio_{K-1}`, `reading` (see reading_guide), `text` where there is a text head, `semantic` where the
    checkpoint has the pathway, and `phones` where the samples tell them: half-way up, the model should
    know what it is about to say. The codes alone teach it to spell many times more slowly. In training the
    share `wrong_history` of the frames it has said are others (see `with_wrong_history`).
    """

    def __init__(
        self,
        model: Any,
        semantic: SemanticPathway | None,
        semantic_token: int,
        *,
        phones: bool = False,
        wrong_history: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.semantic = semantic
        self.semantic_token = semantic_token
        self.wrong_history = wrong_history
        if semantic is not None:
            self.mel_head = nn.Linear(model.config.hidden_size, semantic.config.num_mel_bins)
        self.phone_head = (
            nn.Linear(model.config.hidden_size, PHONES_PER_FRAME * len(PHONES)) if phones else None
        )
        model.set_attn_implementation(shared_prompt_attention.NAME)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        losses: dict[str, torch.Tensor] = {}
        if self.training:
            batch = with_wrong_history(batch, self.wrong_history, self.model.config.audio_stream_bos_id)
        features: list[torch.Tensor] = []
        if self.semantic is not None and batch.waveforms:
            features, losses["semantic"] = self._hear(self.semantic, batch)
        backbone = self.model.model
        # early enough for the layers above to say what was read
        guide = ReadingGuide(batch.readings, layer=len(backbone.layers) // 3)
        with inject_features(backbone.embed_tokens, self.semantic_token, features):
            hidden, middle = hidden_states(backbone, batch, guide, tap=len(backbone.layers) // 2)
        losses["reading"] = guide.loss()
        if self.model.text_lm_head is not None:
            worded = self.model.text_lm_head(hidden[batch.text_positions])
            losses["text"] = cross_entropy(worded.float(), batch.text_labels)
        if self.phone_head is not None:
            losses["phones"] = self._spell(self.phone_head, middle[batch.audio_positions], batch.phone_labels)
        # the heads are computed where something is learned, which is a third of all positions
        logits = self.model.audio_lm_head(hidden[batch.audio_positions])
        config = self.model.config
        logits = logits.view(-1, config.num_codebooks, config.codebook_size).float()
        # taken apart at once: the gradient of each slice would be a tensor of zeros of the whole size
        for k, (told, label) in enumerate(zip(logits.unbind(1), batch.audio_labels.unbind(1), strict=True)):
            losses[f"audio_{k}"] = cross_entropy(told, label)
        return losses

    @staticmethod
    def _spell(head: nn.Linear, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """How badly the phones of the next frame are known, per phone; 0 where no sample tells them."""
        told = head(rms_norm(hidden, hidden.shape[-1:])).float().view(-1, len(PHONES))
        known = (labels != IGNORED).sum().clamp(min=1)
        return cross_entropy(told, labels.flatten(), ignore_index=IGNORED, reduction="sum") / known

    def _hear(self, semantic: SemanticPathway, batch: Batch) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Features of the waveforms, and how badly they tell the encoder's input averaged to 25 Hz."""
        heard: list[torch.Tensor] = []
        hook = semantic.encoder.register_forward_pre_hook(lambda _module, args: heard.append(args[0]))
        try:
            features = semantic(batch.waveforms)
        finally:
            hook.remove()
        mel = avg_pool1d(heard[0].float(), _MEL_FRAMES_PER_FEATURE).transpose(1, 2)
        told = self.mel_head(torch.cat(features))
        wanted = [mel[i, : num_semantic_frames(len(w))] for i, w in enumerate(batch.waveforms)]
        return features, l1_loss(told.float(), torch.cat(wanted))
