"""The settings of a run: frozen dataclasses with defaults, read from TOML and `--set section.key=value`.

Everything outside `[resources]` can change what a row becomes, and is part of the run's fingerprint;
`[resources]` says where and how fast, never what.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ModelConfig:
    checkpoint: str = "mini"  # local folder, hub id, `mini` or `standin`
    revision: str | None = None  # required for hub ids
    codec: str | None = None  # none: the checkpoint's own `codec/` folder
    codec_revision: str | None = None
    prompt_style: Literal["document", "original"] = "document"
    semantic: Literal["auto", "on", "off"] = "auto"  # the Whisper pathway
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    cpu_threads: int = 1  # of the engine on a CPU; sums may round differently with another number
    slots: int = 0  # rows that are spoken at once; 0: 8 on a CPU, what the card holds on a GPU
    max_positions: int = 2048  # prompt tokens and frames of a row together: what a slot holds
    context_rows: int = 2  # of the rows before it that a row with `follows` goes on from; 0: none
    row_deadline_s: float = 3600.0  # for a row that never ends

    def __post_init__(self) -> None:
        _require(self.cpu_threads >= 1, "model.cpu_threads", self.cpu_threads, "at least 1")
        _require(self.slots >= 0, "model.slots", self.slots, "0 or more")
        _require(self.max_positions >= 128, "model.max_positions", self.max_positions, "at least 128")
        _require(0 <= self.context_rows <= 7, "model.context_rows", self.context_rows, "0 to 7")
        _require(self.row_deadline_s > 0, "model.row_deadline_s", self.row_deadline_s, "above 0")

    @property
    def codec_spec(self) -> str:
        """The codec's folder or id: the one named, else the checkpoint's own (in its `codec/`)."""
        return self.codec or self.checkpoint

    @property
    def codec_pin(self) -> str | None:
        return self.codec_revision if self.codec else self.revision


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    seed: int = 0  # rows without a seed derive theirs from it and their id
    # none: what the checkpoint recommends, else 1.0, 0.95 and 50
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None:
            allowed = 0 < self.temperature <= 5
            _require(allowed, "sampling.temperature", self.temperature, "above 0 and at most 5")
        if self.top_p is not None:
            _require(0 < self.top_p <= 1, "sampling.top_p", self.top_p, "above 0 and at most 1")
        if self.top_k is not None:
            _require(self.top_k >= 1, "sampling.top_k", self.top_k, "at least 1")
        _require(0 <= self.seed < 2**63, "sampling.seed", self.seed, "0 to 2**63-1")


@dataclass(frozen=True, slots=True)
class CheckConfig:
    language: str = "en"  # of rows that name none
    max_text_chars: int = 2000
    min_prompt_s: float = 1.0
    max_prompt_s: float = 30.0
    max_prompt_bytes: int = 64 * 2**20
    # what rows may name: folders and URIs; none: everything of the schemes that are read
    allowed_prefixes: list[str] = field(default_factory=list)
    allow_private_addresses: bool = False  # http(s) servers of an internal network

    def __post_init__(self) -> None:
        _require(self.max_text_chars >= 1, "check.max_text_chars", self.max_text_chars, "at least 1")
        _require(self.max_prompt_bytes >= 1, "check.max_prompt_bytes", self.max_prompt_bytes, "at least 1")
        longest = self.max_prompt_s
        _require(0 < self.min_prompt_s <= longest, "check.min_prompt_s", self.min_prompt_s, f"0 to {longest}")


@dataclass(frozen=True, slots=True)
class ConsentConfig:
    required: bool = False  # of every row a `consent_id`
    revoked: str | None = None  # a path or URI of the ids that were withdrawn, one a line


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    transcriber: str = "demo:pocketsphinx"  # `none` leaves WER out
    transcriber_revision: str | None = None
    speaker_encoder: str = "demo:resemblyzer"  # `none` leaves similarity out
    speaker_encoder_revision: str | None = None
    quality_model: str = "none"  # `dnsmos`: on the CPU, some 0.3 s a second of audio


@dataclass(frozen=True, slots=True)
class Limits:
    """What a take must be to pass: rates and ratios are fractions, both ends included, None does not judge.

    What a transcriber can hear differs from language to language, so no numbers are right everywhere.
    """

    max_wer: float | None = None  # the CER where characters are the words (zh, ja, ko, th), as in Seed-TTS
    max_cer: float | None = None
    min_similarity: float | None = None
    min_length_ratio: float | None = None  # duration over the one at the reference's pace
    max_length_ratio: float | None = None
    max_leading_silence_s: float | None = None
    max_trailing_silence_s: float | None = None
    min_speech_ratio: float | None = None
    must_end: bool = True  # by the model's own end of stream, not at the limit of its length
    # by default what was not measured is no reason: another take will not teach the transcriber a language
    unscored_fails: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name.startswith(("min_", "max_")) and value is not None:
                _require(math.isfinite(value), f"gates.{each.name}", value, "a finite number")
        low, high = self.min_length_ratio, self.max_length_ratio
        if low is not None and high is not None:
            _require(low <= high, "gates.min_length_ratio", low, f"at most max_length_ratio, {high}")


@dataclass(frozen=True, slots=True)
class GatesConfig(Limits):
    """Limits of every language without its own, and what becomes of a take that does not pass them."""

    max_takes: int = 1
    otherwise: Literal["warn", "reject"] = "warn"
    all_takes: bool = False  # also of rows that have passed: the best of max_takes
    keep_takes: bool = False
    languages: Mapping[str, Limits] = field(default_factory=dict)  # these stand alone: nothing is mixed in

    def __post_init__(self) -> None:
        Limits.__post_init__(self)
        _require(1 <= self.max_takes <= 100, "gates.max_takes", self.max_takes, "1 to 100")


@dataclass(frozen=True, slots=True)
class OutputConfig:
    shard_rows: int = 32
    audio_files: bool = False  # also `audio/<utterance_id>.flac`
    watermark: Literal["none", "perth"] = "none"

    def __post_init__(self) -> None:
        _require(1 <= self.shard_rows <= 4096, "output.shard_rows", self.shard_rows, "1 to 4096")


@dataclass(frozen=True, slots=True)
class ResourceConfig:
    """Pool sizes (0: chosen from the cluster's size) and the share of a GPU each actor takes."""

    num_cpus: int = 0  # of a private Ray; none is started where RAY_ADDRESS names a cluster
    packer_actors: int = 0
    engine_actors: int = 0
    engine_actors_max: int = (
        0  # as nodes join; 0: as many as GPUs come to be there, or engine_actors if given
    )
    codec_actors: int = 0
    transcriber_actors: int = 0
    speaker_actors: int = 0
    engine_gpu_share: float = 0.7
    codec_gpu_share: float = 0.1
    transcriber_gpu_share: float = 0.1
    speaker_gpu_share: float = 0.1
    prompt_cache: str | None = None  # none: `.prompt-cache` beside the run
    metrics_file: str | None = None  # <name>.prom, for a node exporter's textfile collector
    assumed_speed: float = 20.0  # audio seconds per second and engine, for the estimate only
    check_threads: int = 16

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, int | float):
                _require(value >= 0, f"resources.{name}", value, "0 or more")
        _require(self.assumed_speed > 0, "resources.assumed_speed", self.assumed_speed, "above 0")
        most = self.engine_actors_max
        fits = most == 0 or most >= self.engine_actors
        _require(fits, "resources.engine_actors_max", most, "0, or at least resources.engine_actors")
        _require(self.check_threads >= 1, "resources.check_threads", self.check_threads, "at least 1")


@dataclass(frozen=True, slots=True)
class RunConfig:
    model: ModelConfig = field(default_factory=ModelConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    check: CheckConfig = field(default_factory=CheckConfig)
    consent: ConsentConfig = field(default_factory=ConsentConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    resources: ResourceConfig = field(default_factory=ResourceConfig)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def load_config(
    toml: bytes | None = None, assignments: Sequence[str] = (), over: RunConfig | None = None
) -> RunConfig:
    """A TOML job file, then `section.key=value` assignments, over the defaults unless others are given.

    Unknown names are errors.
    """
    tree: dict[str, Any] = {}
    if toml is not None:
        try:
            tree = tomllib.loads(toml.decode("utf-8"))
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"the job file is not TOML: {error}") from error
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        *path, key = name.strip().split(".")
        if not equals or not path:
            raise ConfigError(f"--set {assignment!r}: write it as section.key=value")
        table = tree
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {assignment!r}: {part} is a setting, not a table")
        table[key] = _Text(text.strip())
    return _apply(over or RunConfig(), tree)


def config_from_dict(tree: Mapping[str, Any]) -> RunConfig:
    """The inverse of `RunConfig.to_dict`; sections may be missing."""
    return _apply(RunConfig(), tree)


def fingerprint(parts: Mapping[str, Any]) -> str:
    """16 hex digits over everything that changes results, in canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """(dotted name, old value, new value) of every leaf that differs."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append((f"{prefix}{key}", before, after))
    return found


class _Text(str):
    """A value from the command line, to be read as the field's type."""


def _apply(config: RunConfig, tree: Mapping[str, Any]) -> RunConfig:
    sections = {}
    for name, values in tree.items():
        if name not in {f.name for f in fields(config)}:
            raise ConfigError(f"unknown section [{name}]{_closest(name, [f.name for f in fields(config)])}")
        sections[name] = read_table(name, getattr(config, name), values)
    return replace(config, **sections)


def read_table(name: str, section: Any, values: Any) -> Any:
    """`section`, a dataclass of settings, with `values` put over its own; `name` is its own, for messages.

    Raises ConfigError for unknown keys and values of other types.
    """
    types = get_type_hints(type(section))
    if not isinstance(values, Mapping):
        raise ConfigError(f"[{name}] must be a table of settings")
    given = {}
    for key, value in values.items():
        if key not in types:
            raise ConfigError(f"unknown setting {name}.{key}{_closest(key, types)}")
        at = f"{name}.{key}"
        if get_origin(types[key]) is Mapping:
            kind = get_args(types[key])[1]
            if not isinstance(value, Mapping):
                raise ConfigError(f"{at} must be a table{' of tables' * is_dataclass(kind)}")
            given[key] = {item: _read(f"{at}.{item}", kind, None, of) for item, of in value.items()}
        else:
            given[key] = _read(at, types[key], getattr(section, key), value)
    return replace(section, **given)


def _read(name: str, kind: Any, before: Any, value: Any) -> Any:
    """A nested table or a single setting."""
    if is_dataclass(kind) and isinstance(kind, type):
        return read_table(name, kind() if before is None else before, value)
    return read_value(name, value, kind)


def read_value(name: str, value: Any, kind: Any) -> Any:
    """`value` as the type of its setting. Raises ConfigError."""
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        _require(value in choices, name, str(value), " or ".join(choices))
        return str(value)
    if get_origin(kind) is list:
        items = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{name} = {value!r}: expected a list of texts, or texts separated by commas")
        return [str(item) for item in items if item]
    allowed = list(get_args(kind) or (kind,))
    if type(None) in allowed and value in ("", "none", None):
        return None
    target = next(t for t in allowed if t is not type(None))
    try:
        if target is bool:
            table = {"true": True, "false": False}
            return table[str(value).lower()]
        if target in (int, float):
            if isinstance(value, bool) or (isinstance(value, str) and not isinstance(value, _Text)):
                raise ValueError
            if target is int and float(value) != int(float(value)):
                raise ValueError
            return int(value) if target is int else float(value)
    except (KeyError, OverflowError, ValueError) as error:
        raise ConfigError(f"{name} = {value!r}: expected {target.__name__}") from error
    if not isinstance(value, str):
        raise ConfigError(f"{name} = {value!r}: expected text")
    return str(value)


def _closest(name: str, known: Any) -> str:
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else f"; known: {', '.join(sorted(known))}"


def _require(condition: bool, name: str, value: Any, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"{name} = {value!r}: must be {allowed}")
