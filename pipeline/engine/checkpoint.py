"""A checkpoint, loaded: the model, how to prompt it, and its semantic pathway if it has one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.engine.base import Sampling
from pipeline.engine.chat_prompt import PromptFormat, PromptStyle, SemanticMode
from pipeline.engine.model_files import locate, read_config
from pipeline.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from pipeline.engine.semantic import SemanticPathway


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`model` is a HiggsAudioV2ForConditionalGeneration in eval mode; `notes` are for the report."""

    id: str  # name@revision
    model: Any
    prompt_format: PromptFormat
    semantic: SemanticPathway | None
    sampling: Sampling  # what its makers recommend
    notes: tuple[str, ...]

    @property
    def tokenizer(self) -> Any:
        return self.prompt_format.tokenizer

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def num_bytes(self) -> int:
        """Memory of all its weights."""
        modules = [self.model] if self.semantic is None else [self.model, self.semantic]
        return sum(weight.nbytes for module in modules for weight in module.parameters())


def checkpoint_id(spec: str, revision: str | None = None) -> str:
    """`name@revision` without loading weights. Raises CheckpointError."""
    return locate(spec, revision, weights=False).id


def load_checkpoint(
    spec: str,
    revision: str | None = None,
    device: str = "cpu",
    dtype: Any = "auto",
    *,
    semantic: SemanticMode = "auto",
    style: PromptStyle = "document",
    max_positions: int | None = None,
    known_id: str | None = None,
) -> Checkpoint:
    """Load `mini`, `standin`, a local folder or a hub id (pinned `revision`) from safetensors weights.

    `dtype` is a torch.dtype or `auto`: the checkpoint's own on a GPU, float32 on a CPU, where half
    precision is slower. `max_positions` bounds prompt and frames of a row; `known_id`: see `locate`. Raises
    CheckpointError, also for `semantic="on"` and a checkpoint without it.
    """
    import torch
    from transformers import HiggsAudioV2ForConditionalGeneration

    files = locate(spec, revision, known_id=known_id)
    prompt_format = PromptFormat.from_folder(
        files.folder, files.id, style=style, semantic=semantic, max_positions=max_positions
    )
    if dtype == "auto" and torch.device(device).type == "cpu":
        dtype = torch.float32
    try:
        model, loading = HiggsAudioV2ForConditionalGeneration.from_pretrained(
            files.folder, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
    except Exception as error:  # safetensors, transformers and pydantic each raise their own
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{files.id}: cannot load the model: {reason}") from error
    if loading["missing_keys"]:
        # transformers fills them in at random and only warns
        missing = sorted(loading["missing_keys"])
        raise CheckpointError(f"{files.id}: {len(missing)} weights are missing, such as {missing[0]}")
    model = model.to(device).eval()
    return Checkpoint(
        id=files.id,
        model=model,
        prompt_format=prompt_format,
        semantic=_load_semantic(files.folder, prompt_format, model),
        sampling=recommended_sampling(files.folder),
        notes=_notes(files.folder, prompt_format),
    )


def recommended_sampling(folder: Path) -> Sampling:
    """`temperature`, `top_p` and `top_k` of a checkpoint's generation_config.json; what it lacks is ours.

    Raises CheckpointError for a file that cannot be read.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return Sampling()
    try:
        said = json.loads(path.read_text("utf-8"))
        given = {name: said[name] for name in ("temperature", "top_p", "top_k") if said.get(name) is not None}
        found = Sampling(**given)
        sane = 0 < found.temperature <= 5 and 0 < found.top_p <= 1 and found.top_k >= 0
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not sane:
        raise CheckpointError(f"{path}: temperature, top_p or top_k is out of range: {given}")
    return found


def _load_semantic(folder: Path, prompt_format: PromptFormat, model: Any) -> SemanticPathway | None:
    if not prompt_format.hears_reference:
        return None
    from pipeline.engine.semantic import SemanticPathway

    pathway = SemanticPathway.load(folder / "semantic")
    if pathway.projector.out_features != model.config.hidden_size:
        raise CheckpointError(
            f"{prompt_format.id}: the semantic pathway projects to {pathway.projector.out_features}, the "
            f"model's hidden size is {model.config.hidden_size}"
        )
    return pathway.to(model.device, model.dtype)


def _notes(folder: Path, prompt_format: PromptFormat) -> tuple[str, ...]:
    notes = []
    if note := read_config(folder).get("voicemill_note"):
        notes.append(str(note))
    if not prompt_format.hears_reference:
        notes.append("semantic (Whisper) pathway not used: the voice comes from acoustic codes alone")
    return tuple(notes)
