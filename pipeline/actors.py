"""Thin Ray actors: each builds its model once and calls its stage per shard.

Every callable here takes and gives one shard as one Arrow table; the rules that keep it so are in
`flow.py`. A shard's rows leave in the order in which they came (Ray replays by output index).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa

from pipeline.codecs import codec_info, load_codec
from pipeline.errors import EngineFatalError, RowError
from pipeline.evaluators import load_speaker_encoder, load_transcriber
from pipeline.plan import PlannedShard, read_planned
from pipeline.prompt_cache import PromptCache
from pipeline.records import (
    GENERATED_ROW,
    HEARD_ROW,
    SAMPLE_ROW,
    UTTERANCE_ROW,
    Row,
    SpeakerPrompt,
    is_failed,
    to_table,
)
from pipeline.run import Run
from pipeline.stages.each_row import as_row_error, one_by_one_if_needed
from pipeline.stages.encode_prompt import ReferenceClip, encode_prompts, reference_clip
from pipeline.stages.load_prompt import load_planned_prompt

PROMPT_OUTCOME = pa.schema(
    [("prompt_id", pa.string()), ("error_code", pa.string()), ("error_message", pa.string())]
)
_PROMPTS_IN_MEMORY = 256
_MAX_UTTERANCE_BYTES = 256 * 2**20
_MAX_UTTERANCE_S = 1800.0


class ProgressBoard:
    """Where the stages report; the display reads it."""

    def __init__(self) -> None:
        self._stages: dict[str, dict[str, float]] = {}

    def add(self, stage: str, rows: int, failed: int, audio_s: float) -> None:
        counts = self._stages.setdefault(stage, {"rows": 0, "failed": 0, "audio_s": 0.0})
        for name, value in (("rows", rows), ("failed", failed), ("audio_s", audio_s)):
            counts[name] += value

    def read(self) -> dict[str, dict[str, float]]:
        return self._stages


@dataclass(frozen=True)
class Reporter:
    """One stage's line to the board."""

    board: Any
    stage: str
    frame_rate: float | None = None  # where audio is still codes

    def through(
        self, table: pa.Table, schema: pa.Schema, work: Callable[[list[Row]], Sequence[Row]]
    ) -> pa.Table:
        rows = table.to_pylist()
        failed_before = sum(map(is_failed, rows))
        out = list(work(rows))
        failed = sum(map(is_failed, out)) - failed_before
        audio_s = sum(map(self._seconds, out))
        self.board.add.remote(self.stage, len(out), failed, audio_s)
        return to_table(out, schema)

    def _seconds(self, row: Row) -> float:
        if self.frame_rate is not None and row.get("codes_shape"):
            return float(row["codes_shape"][1] / self.frame_rate)
        return row.get("duration_s") or 0.0


class Chain:
    """Several stages in one process."""

    def __init__(self, parts: Sequence[tuple[type, Sequence[Any]]]) -> None:
        self._stages = [actor(*arguments) for actor, arguments in parts]

    def __call__(self, table: pa.Table) -> pa.Table:
        for stage in self._stages:
            table = stage(table)
        return table


class EncodePrompts:
    """[prompt_id, prompt_audio, prompt_text, language] -> cache entries and PROMPT_OUTCOME rows."""

    def __init__(self, run: Run, cache: PromptCache, board: Any, devices: tuple[str, str, str]) -> None:
        config = run.config
        device, transcriber_device, speaker_device = devices
        self._cache, self._check = cache, config.check
        self._report = Reporter(board, "encode_prompt")
        self._codec = (
            None
            if run.identity.task == "score"
            else load_codec(config.model.codec_spec, config.model.codec_pin, device)
        )
        evaluation = config.evaluation
        self._speaker = load_speaker_encoder(
            evaluation.speaker_encoder, evaluation.speaker_encoder_revision, speaker_device
        )
        self._transcriber = load_transcriber(
            evaluation.transcriber, evaluation.transcriber_revision, transcriber_device
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        return self._report.through(table, PROMPT_OUTCOME, self._encode)

    def _encode(self, rows: list[Row]) -> list[Row]:
        outcomes: list[Row] = []
        clips: list[ReferenceClip] = []
        for row in rows:
            try:
                clips.append(self._clip(row))
            except RowError as error:
                outcomes.append(_outcome(row["prompt_id"], error))
        encoded = one_by_one_if_needed(
            clips, lambda some: encode_prompts(some, self._codec, self._speaker, self._transcriber)
        )
        for clip, prompt in zip(clips, encoded, strict=True):
            if isinstance(prompt, SpeakerPrompt):
                self._cache.put(prompt)
            outcomes.append(_outcome(clip.prompt_id, prompt if isinstance(prompt, Exception) else None))
        return outcomes

    def _clip(self, row: Row) -> ReferenceClip:
        loaded = load_planned_prompt(
            row["prompt_audio"],
            row["prompt_id"],
            row["prompt_text"],
            row["language"],
            self._check.max_prompt_bytes,
        )
        return reference_clip(
            row["prompt_id"], row["prompt_text"], row["language"], loaded.data, self._check.max_prompt_s
        )


class PackSamples:
    """A planned shard -> its packed samples, committed under `samples/`; read back if they are there."""

    def __init__(self, run: Run, cache: PromptCache, failed_prompts: dict[str, RowError], board: Any) -> None:
        from pipeline.engine.chat_prompt import PromptFormat

        model = run.config.model
        self._run = run
        self._report = Reporter(board, "pack_sample")
        self._prompt_of = prompt_lookup(cache, failed_prompts)
        self._format = PromptFormat.load(
            model.checkpoint, model.revision, style=model.prompt_style, semantic=model.semantic
        )
        self._frame_rate = codec_info(model.codec_spec, model.codec_pin).frame_rate

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.stages.pack_sample import pack_samples

        [shard] = _shards(table)
        committed = self._run.samples.read_commit(shard.name)
        if committed is None:
            packed = self._report.through(
                pa.Table.from_pylist(read_planned(self._run.store, shard)),
                SAMPLE_ROW,
                lambda rows: pack_samples(rows, self._format, self._frame_rate, self._prompt_of),
            )
            committed = self._run.samples.write_shard(
                shard.name, packed, _attempt_id(), {"failed": _failures(packed)}
            )
        else:
            self._report.board.add.remote("pack_sample", committed.rows, 0, 0.0)
        return self._run.samples.read_table(committed)


class GenerateCodes:
    def __init__(self, run: Run, board: Any, device: str) -> None:
        import torch

        from pipeline.engine.base import Sampling
        from pipeline.engine.checkpoint import load_checkpoint
        from pipeline.engine.transformers_engine import TransformersEngine

        model, sampling = run.config.model, run.config.sampling
        if device == "cpu":
            torch.set_num_threads(model.cpu_threads)
        checkpoint = load_checkpoint(
            model.checkpoint,
            model.revision,
            device,
            model.dtype,
            semantic=model.semantic,
            style=model.prompt_style,
        )
        codec = codec_info(model.codec_spec, model.codec_pin)
        self._report = Reporter(board, "generate_codes", codec.frame_rate)
        self._engine = TransformersEngine(
            checkpoint,
            sampling=Sampling(sampling.temperature, sampling.top_p, sampling.top_k),
            batch_size=model.batch_size,
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.stages.generate_codes import generate_codes

        return self._report.through(table, GENERATED_ROW, lambda rows: generate_codes(rows, self._engine))


class DecodeCodes:
    def __init__(self, run: Run, board: Any, device: str) -> None:
        self._report = Reporter(board, "decode_codes")
        self._codec = load_codec(run.config.model.codec_spec, run.config.model.codec_pin, device)

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.stages.decode_codes import decode_codes

        return self._report.through(table, UTTERANCE_ROW, lambda rows: decode_codes(rows, self._codec))


class LoadUtterances:
    """A planned shard of existing audio, with its references' embeddings."""

    def __init__(self, run: Run, cache: PromptCache, failed_prompts: dict[str, RowError], board: Any) -> None:
        self._run = run
        self._report = Reporter(board, "load_utterance")
        self._prompt_of = prompt_lookup(cache, failed_prompts)

    def __call__(self, table: pa.Table) -> pa.Table:
        [shard] = _shards(table)
        planned = pa.Table.from_pylist(read_planned(self._run.store, shard))
        return self._report.through(planned, UTTERANCE_ROW, self._load)

    def _load(self, rows: list[Row]) -> list[Row]:
        from pipeline.stages.each_row import each_row
        from pipeline.stages.load_utterance import STAGE, load_utterances

        loaded = load_utterances(rows, _MAX_UTTERANCE_BYTES, _MAX_UTTERANCE_S)
        return each_row(loaded, STAGE, self._with_embedding)

    def _with_embedding(self, row: Row) -> Row:
        if row["prompt_id"] is None:
            return row
        embedding = self._prompt_of(row["prompt_id"]).embedding
        return row | {"prompt_embedding": None if embedding is None else embedding.tolist()}


class Transcribe:
    def __init__(self, run: Run, board: Any, device: str) -> None:
        evaluation = run.config.evaluation
        self._report = Reporter(board, "transcribe")
        transcriber = load_transcriber(evaluation.transcriber, evaluation.transcriber_revision, device)
        assert transcriber is not None, "the flow leaves this stage out when there is no transcriber"
        self._transcriber = transcriber

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.stages.transcribe import transcribe

        return self._report.through(table, HEARD_ROW, lambda rows: transcribe(rows, self._transcriber))


class EmbedSpeaker:
    def __init__(self, run: Run, board: Any, device: str) -> None:
        evaluation = run.config.evaluation
        self._report = Reporter(board, "embed_speaker")
        encoder = load_speaker_encoder(
            evaluation.speaker_encoder, evaluation.speaker_encoder_revision, device
        )
        assert encoder is not None, "the flow leaves this stage out when there is no speaker encoder"
        self._encoder = encoder

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.stages.embed_speaker import embed_speaker

        return self._report.through(table, HEARD_ROW, lambda rows: embed_speaker(rows, self._encoder))


def commit_shard(table: pa.Table, run: Run, board: Any) -> pa.Table:
    """Scores, packs and commits a shard; gives its commit as one small row."""
    from pipeline.results import result_schema, write_audio_files
    from pipeline.stages.pack_result import pack_results
    from pipeline.stages.score_utterance import score_utterances

    identity = run.identity
    [shard] = set(table.column("shard").to_pylist())  # a block is a shard, or the flow is broken

    def score_and_pack(rows: list[Row]) -> list[Row]:
        scored = score_utterances(rows, identity.transcriber, identity.speaker_encoder)
        return pack_results(scored, identity.model, identity.codec)

    result = Reporter(board, "commit").through(table, result_schema(), score_and_pack)
    if run.config.output.audio_files:
        write_audio_files(run.store, result)
    failed = _failures(result)
    commit = run.results.write_shard(shard, result, _attempt_id(), {"failed": failed})
    return pa.table({"shard": [commit.shard], "rows": [commit.rows], "failed": [failed]})


def prompt_lookup(cache: PromptCache, failed: dict[str, RowError]) -> Callable[[str], SpeakerPrompt]:
    """Encoded voices by id, the latest kept in memory; a voice that could not be encoded raises its error."""

    @lru_cache(maxsize=_PROMPTS_IN_MEMORY)
    def load(prompt_id: str) -> SpeakerPrompt:
        prompt = cache.get(prompt_id)
        if prompt is None:
            raise EngineFatalError(f"voice {prompt_id} is not in the prompt cache; run again to encode it")
        return prompt

    def lookup(prompt_id: str) -> SpeakerPrompt:
        if prompt_id in failed:
            raise failed[prompt_id]
        return load(prompt_id)

    return lookup


def shard_columns(shard: PlannedShard) -> Row:
    return {"shard": shard.name, "part": shard.part, "row_group": shard.row_group, "rows": shard.rows}


def _shards(table: pa.Table) -> list[PlannedShard]:
    return [PlannedShard(r["shard"], r["part"], r["row_group"], r["rows"]) for r in table.to_pylist()]


def _outcome(prompt_id: str, error: Exception | None) -> Row:
    fault = None if error is None else as_row_error(error)
    return {
        "prompt_id": prompt_id,
        "error_code": None if fault is None else fault.code,
        "error_message": None if fault is None else fault.message,
    }


def _failures(table: pa.Table) -> int:
    return int(table.num_rows - table.column("failed_stage").null_count)


def _attempt_id() -> str:
    return uuid.uuid4().hex
