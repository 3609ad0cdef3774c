"""Every setting with what it means, as a job file that `--config` reads."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from pipeline.config import RunConfig

_SECTIONS = {
    "model": "what speaks",
    "sampling": "how the model draws; a row's own seed, temperature, top_p and top_k come first",
    "check": "what is refused before anything is spent",
    "consent": "whose voice may be used",
    "evaluation": "who listens to the results",
    "gates": "what a take must be to pass, and what becomes of one that is not",
    "output": "how results are stored",
    "resources": "where and how fast, never what: may change from one start of a run to the next",
}
MEANINGS = {
    "model": {
        "checkpoint": "a folder, a hub id, mini (the shipped one), or standin (random weights: noise)",
        "revision": "of a hub id: the commit, 40 hex digits",
        "codec": "a folder or hub id; unset: the codec/ folder of the checkpoint",
        "codec_revision": "as revision",
        "prompt_style": "document, or original (the chat of the original repository)",
        "semantic": "the Whisper pathway: auto (if the checkpoint has it), on, off",
        "device": "auto (a GPU if the cluster has one), cpu, cuda",
        "dtype": "auto (the checkpoint's own on a GPU, float32 on a CPU), float32, bfloat16, float16",
        "cpu_threads": "of the engine on a CPU",
        "slots": "rows that are spoken at once; 0: 8 on a CPU, as many as fit on a GPU",
        "max_positions": "prompt tokens and frames of a row together: what a slot holds",
        "context_rows": "how many of the rows before it a row with `follows` goes on from, 0 to 7",
        "row_deadline_s": "a row that speaks longer than this fails, in seconds",
    },
    "sampling": {
        "seed": "rows without a seed derive theirs from it and their id",
        "temperature": "above 0, at most 5; unset, here and below: what the checkpoint recommends",
        "top_p": "above 0, at most 1",
        "top_k": "1 or more",
    },
    "check": {
        "language": "of rows that name none: a BCP 47 tag",
        "max_text_chars": "longest text, ref_text, scene and speaker",
        "min_prompt_s": "shortest reference, seconds",
        "max_prompt_s": "longest reference, seconds",
        "max_prompt_bytes": "largest reference file",
        "allowed_prefixes": "what rows may name: folders and URIs; empty: all of the schemes that are read",
        "allow_private_addresses": "rows may name http(s) servers of private networks and of this machine",
    },
    "consent": {
        "required": "refuse rows without a consent_id",
        "revoked": "a file or URI of withdrawn ids, one a line, read at every start; unset: none",
    },
    "evaluation": {
        "transcriber": "demo:pocketsphinx, a Whisper folder or hub id, or none (no WER)",
        "transcriber_revision": "of a hub id: the commit, 40 hex digits",
        "speaker_encoder": "demo:resemblyzer, a WavLM folder or hub id, or none (no similarity)",
        "speaker_encoder_revision": "as transcriber_revision",
        "quality_model": "dnsmos (opinion scores; needs voicemill[quality]), or none",
    },
    "gates": {
        "max_wer": "word error rate, a fraction; of characters where a language does not part its words",
        "max_cer": "character error rate, a fraction",
        "min_similarity": "to the reference's voice",
        "min_length_ratio": "duration over the one at the reference's pace",
        "max_length_ratio": "as above",
        "max_leading_silence_s": "seconds before the first sound",
        "max_trailing_silence_s": "seconds after the last sound",
        "min_speech_ratio": "share of the clip that is not silence",
        "must_end": "by the model's own end of stream, not at the limit of its length",
        "unscored_fails": "a limit on what could not be measured is a reason, too",
        "max_takes": "a row that does not pass is spoken again, each time with the next derived seed",
        "otherwise": "what becomes of a row whose takes all fail: warn (ok, with a warning), reject",
        "all_takes": "speak max_takes takes of every row, and keep the best",
        "keep_takes": "keep the audio of the takes that lost, under takes/",
        "languages": "the limits of a language alone: a table [gates.languages.<BCP 47 tag>]",
    },
    "output": {
        "shard_rows": "rows that are committed in one step, 1 to 4096",
        "audio_files": "also write audio/<id>.flac",
        "watermark": "none, or perth: a mark, meant not to be heard, that a machine made the speech",
    },
    "resources": {
        "num_cpus": "of a private Ray; 0: all. Where RAY_ADDRESS names a cluster none is started",
        "packer_actors": "processes that pack samples or load audio; 0 here and below: by the cluster's size",
        "engine_actors": "processes that generate",
        "engine_actors_max": "as nodes join; 0: engine_actors, or if that is 0 one for each GPU that comes",
        "codec_actors": "processes that encode voices and decode codes",
        "transcriber_actors": "processes that transcribe",
        "speaker_actors": "processes that compare voices",
        "engine_gpu_share": "share of a GPU that each engine takes",
        "codec_gpu_share": "that each codec takes",
        "transcriber_gpu_share": "that each transcriber takes",
        "speaker_gpu_share": "that each speaker encoder takes",
        "prompt_cache": "where encoded voices are kept, path or URI; unset: .prompt-cache beside the run",
        "metrics_file": "Prometheus text file to write every 15 s, <name>.prom; unset: none",
        "assumed_speed": "seconds of audio that an engine makes in a second, for the estimate alone",
        "check_threads": "references read at once while a manifest is checked",
    },
}


def settings_toml(config: RunConfig) -> str:
    """The settings as a job file, each behind its meaning; unset ones as comments."""
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
