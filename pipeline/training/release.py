"""The folder that is shipped: model, semantic pathway, tokenizer, codec and a card of measured figures.

Nothing is measured here. The model's weights and the codec's are stored as the caller says, who has
measured what half precision loses; in a codec it may turn one code into its neighbour.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.engine.embedded import MINI_NAME
from pipeline.engine.model_files import read_config
from pipeline.errors import CheckpointError

MAX_BYTES = 60_000_000
_WEIGHTS = "model.safetensors"
_TOP_K = 50


def assemble(
    model: Path,
    codec: Path,
    folder: Path,
    *,
    dtype: torch.dtype,
    codec_dtype: torch.dtype,
    note: str,
    temperature: float,
    figures: Mapping[str, Any],
    recipe: Mapping[str, Any],
    licence: Path,
) -> int:
    """Write the release of an exported model and a codec folder to `folder`; its size in bytes.

    `note` is said in every report of a run that uses it, at `temperature` it speaks unless a job says
    otherwise. Raises CheckpointError for a codec that is not
    the model's and for a release of more than 60 MB.
    """
    config = read_config(model)
    given, read = read_config(codec).get("n_codebooks"), config["num_codebooks"]
    if given != read:
        raise CheckpointError(f"{codec} has {given} codebooks, the model {model} reads {read}")
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("", "semantic"):
        (folder / part).mkdir(exist_ok=True)
        for file in (model / part).glob("*.json"):
            shutil.copyfile(file, folder / part / file.name)
        store_as(model / part / _WEIGHTS, folder / part / _WEIGHTS, dtype)
    (folder / "codec").mkdir(exist_ok=True)
    shutil.copyfile(codec / "config.json", folder / "codec" / "config.json")
    store_as(codec / _WEIGHTS, folder / "codec" / _WEIGHTS, codec_dtype)
    config |= {
        "voicemill_name": MINI_NAME,
        "voicemill_note": note,
        "dtype": str(dtype).removeprefix("torch."),
    }
    sampling = {"do_sample": True, "temperature": temperature, "top_k": _TOP_K}
    (folder / "generation_config.json").write_text(json.dumps(sampling, indent=2) + "\n", "utf-8")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    shutil.copyfile(licence, folder / "LICENSE")
    (folder / "MODEL_CARD.md").write_text(model_card(config, note, figures, recipe), "utf-8")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size > MAX_BYTES:
        raise CheckpointError(f"{folder}: {size / 1e6:.1f} MB, a release has at most {MAX_BYTES / 1e6:.0f}")
    return size


def store_as(source: Path, target: Path, dtype: torch.dtype) -> None:
    """Copy a safetensors file, its floating-point weights as `dtype`. CheckpointError if one overflows."""
    from safetensors.torch import load_file, save_file

    weights = load_file(source)
    stored = {name: w.to(dtype) if w.is_floating_point() else w for name, w in weights.items()}
    for name, weight in stored.items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise CheckpointError(f"{source}: {name} does not fit into {dtype}")
    save_file(stored, target, metadata={"format": "pt"})
    target.chmod(0o644)  # safetensors makes files that only their owner reads


def model_card(
    config: Mapping[str, Any], note: str, figures: Mapping[str, Any], recipe: Mapping[str, Any]
) -> str:
    """The card as markdown. `figures` has `evaluations` (lines of jobs.evaluate_mini) and facts by name;
    `recipe` has `steps` (commands, in order) and facts by name."""
    evaluations = figures.get("evaluations", [])
    facts = {k: v for k, v in figures.items() if k != "evaluations"}
    parts = [
        f"# {config['voicemill_name']}",
        note,
        "The architecture of Higgs Audio v2 (transformers' `HiggsAudioV2ForConditionalGeneration`) at a "
        "small size, with voicemill's semantic pathway and a codec of its own. It was trained from random "
        "weights on synthetic speech, so that anyone can try and test the pipeline. It is no product voice.",
        "## Network\n\n"
        + _table(
            ["", ""],
            [
                ["layers", config["num_hidden_layers"]],
                ["hidden size", config["hidden_size"]],
                ["feed-forward size, text and audio each", config["intermediate_size"]],
                [
                    "heads, of them for keys",
                    f"{config['num_attention_heads']}, {config['num_key_value_heads']}",
                ],
                ["codebooks", config["num_codebooks"]],
                ["codes of a codebook", config["audio_stream_bos_id"]],
                ["frames a second", 25],
            ],
        ),
        "## Data and recipe\n\n"
        + _table(["", ""], [[k, v] for k, v in recipe.items() if k != "steps"])
        + "\n\n"
        + "\n".join(["```sh", *recipe.get("steps", []), "```"]),
        "## Measured\n\n"
        "WER and CER by pocketsphinx (its own errors on the teacher's speech are part of them), similarity "
        "by Resemblyzer; sentences and speakers were not in training. `identified`: the right voice is the "
        "nearest of all that are compared.\n\n"
        + _evaluations(evaluations)
        + ("\n\n" + _table(["", ""], [[k, v] for k, v in facts.items()]) if facts else ""),
        "## Limits\n\n"
        "English only: the tokenizer turns letters into phones by rules, and other scripts into bytes that "
        "the model has never heard. The voices are warps of three recorded people, spoken by a 2000s "
        "synthesiser; other people's voices are approximated by them. Sentences much longer than 70 "
        "characters and references longer than five seconds were not in training.",
        "## Licence\n\nApache-2.0, as the code. The teacher is Debian's flite with its voices slt, rms and "
        "awb (CMU ARCTIC), which may be used without restriction; the training text is from Debian packages.",
    ]
    return "\n\n".join(parts) + "\n"


_COLUMNS = {
    "ablation": "",
    "rows": "rows",
    "wer": "WER",
    "cer": "CER",
    "similarity": "similarity",
    "right_minus_wrong": "right minus wrong",
    "identified": "identified",
    "finished": "ended itself",
}
_ABLATED = {
    "none": "the model",
    "labels": "the codec alone",
    "teacher": "the teacher itself",
    "codec": "the codec alone",
    "no_semantic": "without the semantic pathway",
    "no_codes": "without the reference's codes",
    "no_reference": "without both",
    "other_codes": "with another voice's codes",
    "no_audio_ffn": "audio through the text FFN",
    "no_delay": "delay pattern not reverted",
}


def _evaluations(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for line in lines:
        rows.append([_ABLATED.get(line["ablation"], line["ablation"]), *(line[c] for c in [*_COLUMNS][1:])])
        if "best" in line:
            name = f"{rows[-1][0]}, best of {line['takes']} by CER"
            rows.append([name, *(line["best"][c] for c in [*_COLUMNS][1:])])
    return _table(list(_COLUMNS.values()), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *[[_cell(value) for value in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
