"""Every setting with what it means, as a job file that `--config` reads."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from pipeline.config import RunConfig

_SECTIONS = {
    "model": "what speaks",
    "sampling": "defaults for sampling; a row's own seed, temperature, top_p and top_k take precedence",
    "check": "what is refused before any compute is spent",
    "consent": "whose voice may be used",
    "evaluation": "what scores the results",
    "gates": "what a take must meet to pass, and what happens to rows that never pass",
    "output": "how results are stored",
    "resources": "where and how fast; never changes results, and may differ from start to start of a run",
}
MEANINGS = {
    "model": {
        "checkpoint": "a folder, a hub id, mini (shipped with voicemill) or standin (random weights: noise)",
        "revision": "commit of a hub id, 40 hex digits",
        "codec": "a folder or hub id; unset: the checkpoint's codec/ folder",
        "codec_revision": "commit of a hub id, 40 hex digits",
        "prompt_style": "document, or original (the chat format of the original repository)",
        "semantic": "the Whisper pathway: auto (if the checkpoint has it), on, off",
        "device": "auto (a GPU if the cluster has one), cpu, cuda",
        "dtype": "auto (the checkpoint's own on a GPU, float32 on a CPU), float32, bfloat16, float16",
        "cpu_threads": "CPU threads of the engine; changing it may change rounding",
        "slots": "rows spoken at once; 0: 8 on a CPU, what the card holds on a GPU",
        "max_positions": "size of a slot: prompt tokens plus frames of a row",
        "context_rows": "preceding rows that a row with `follows` keeps in its prompt, 0 to 7",
        "row_deadline_s": "seconds after which a row fails",
    },
    "sampling": {
        "seed": "rows without a seed derive theirs from this one and their id",
        "temperature": "above 0, at most 5; unset, here and below: what the checkpoint recommends",
        "top_p": "above 0, at most 1",
        "top_k": "1 or more",
    },
    "check": {
        "language": "of rows that name none: a BCP 47 tag",
        "max_text_chars": "longest text, ref_text, scene and speaker, in characters",
        "min_prompt_s": "shortest reference, in seconds",
        "max_prompt_s": "longest reference, in seconds",
        "max_prompt_bytes": "largest reference file",
        "allowed_prefixes": "folders and URIs that rows may name; empty: anything with a supported scheme",
        "allow_private_addresses": "rows may name http(s) servers on private networks and on this machine",
    },
    "consent": {
        "required": "refuse rows without a consent_id",
        "revoked": "file or URI of withdrawn ids, one per line, read at every start; unset: none",
    },
    "evaluation": {
        "transcriber": "demo:pocketsphinx, a Whisper folder or hub id, or none (no WER)",
        "transcriber_revision": "commit of a hub id, 40 hex digits",
        "speaker_encoder": "demo:resemblyzer, a WavLM folder or hub id, or none (no similarity)",
        "speaker_encoder_revision": "commit of a hub id, 40 hex digits",
        "quality_model": "dnsmos (opinion scores; needs the extra quality), or none",
    },
    "gates": {
        "max_wer": "word error rate, a fraction; of characters in languages without spaces between words",
        "max_cer": "character error rate, a fraction",
        "min_similarity": "to the reference voice, -1 to 1",
        "min_length_ratio": "duration over that at the reference's pace",
        "max_length_ratio": "as above",
        "max_leading_silence_s": "seconds before the first sound",
        "max_trailing_silence_s": "seconds after the last sound",
        "min_speech_ratio": "share of the clip that is not silence",
        "must_end": "the model must end the take itself, not be cut off at the length limit",
        "unscored_fails": "fail a take on limits that could not be measured",
        "max_takes": "takes per row, at most; each further one uses the next derived seed",
        "otherwise": "rows that never pass: warn (ok, with reasons) or reject",
        "all_takes": "speak max_takes takes of every row and keep the best",
        "keep_takes": "keep the audio of the other takes, under takes/",
        "languages": "limits for one language, replacing the ones above: [gates.languages.<BCP 47 tag>]",
    },
    "output": {
        "shard_rows": "rows committed in one step, 1 to 4096",
        "audio_files": "also write audio/<id>.flac",
        "watermark": "none, or perth: a mark of synthetic speech, meant to be inaudible (extra watermark)",
    },
    "resources": {
        "num_cpus": "CPUs of a private Ray; 0: all. Unused where RAY_ADDRESS names a cluster",
        "packer_actors": "processes that pack samples or load audio; 0, here and below: by cluster size",
        "engine_actors": "processes that generate",
        "engine_actors_max": "engines as nodes join; 0: engine_actors or, if that is 0, one per GPU",
        "codec_actors": "processes that encode voices and decode codes",
        "transcriber_actors": "processes that transcribe",
        "speaker_actors": "processes that compare voices",
        "engine_gpu_share": "share of a GPU per engine",
        "codec_gpu_share": "share of a GPU per codec process",
        "transcriber_gpu_share": "share of a GPU per transcriber",
        "speaker_gpu_share": "share of a GPU per speaker encoder",
        "prompt_cache": "where encoded voices are kept, path or URI; unset: .prompt-cache beside the run",
        "metrics_file": "Prometheus text file written every 15 s, <name>.prom; unset: none",
        "assumed_speed": "seconds of audio per second and engine, for the estimate only",
        "check_threads": "references read at once while a manifest is checked",
    },
}


def settings_toml(config: RunConfig) -> str:
    """The settings as a job file, each under its meaning; unset ones as comments."""
    lines: list[str] = []
    for section in dataclasses.fields(config):
        lines += [f"# {_SECTIONS[section.name]}", f"[{section.name}]"]
        tables: list[str] = []
        for name, value in dataclasses.asdict(getattr(config, section.name)).items():
            lines.append(f"# {MEANINGS[section.name][name]}")
            if isinstance(value, dict):
                for item, table in value.items():
                    tables += [f"[{section.name}.{name}.{item}]", *(_line(n, v) for n, v in table.items())]
            else:
                lines.append(_line(name, value))
        lines += [*tables, ""]
    return "\n".join(lines)


def _line(name: str, value: Any) -> str:
    return f"# {name} =" if value is None else f"{name} = {json.dumps(value)}"
