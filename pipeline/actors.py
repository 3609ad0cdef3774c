"""Thin Ray actors: each builds its model once and calls its stage per shard.

Every callable here takes and gives one shard as one Arrow table; the rules that keep it so are in
`flow.py`. A shard's rows leave in the order in which they came (Ray replays by output index).
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any

from pipeline import ray_settings  # noqa: F401 (before ray)

# isort: split

import pyarrow as pa
import ray

from pipeline.attempts import Attempts, Care
from pipeline.board import Reporter
from pipeline.codecs import codec_info, load_codec
from pipeline.consent import load_consent
from pipeline.errors import EngineFatalError, RowError
from pipeline.evaluators import load_quality_model, load_speaker_encoder, load_transcriber
from pipeline.plan import PlannedShard, kept_footers, read_planned
from pipeline.prompt_cache import PromptCache
from pipeline.records import (
    GENERATED_ROW,
    HEARD_ROW,
    SAMPLE_ROW,
    UTTERANCE_ROW,
    Row,
    SpeakerPrompt,
    count_failed,
)
from pipeline.run import Run
from pipeline.stages.each_row import as_row_error, one_by_one_if_needed
from pipeline.stages.encode_prompt import ReferenceClip, encode_prompts, reference_clip, voice_lookup
from pipeline.stages.load_prompt import load_planned_prompt
from pipeline.uri_rules import rules_of

log = logging.getLogger(__name__)
PROMPT_OUTCOME = pa.schema(
    [("prompt_id", pa.string()), ("error_code", pa.string()), ("error_message", pa.string())]
)
_PROMPTS_IN_MEMORY = 256
_MAX_UTTERANCE_BYTES = 256 * 2**20
_MAX_UTTERANCE_S = 1800.0


class Chain:
    """Stages in one process, for several calls at a time.

    A stage that is `concurrent` takes them all at once, any other one after another: the shards follow
    each other through the stages, and an engine among them always has rows of the next ones. With a `run`,
    rows that end the process are found (see `attempts`); a stage that is `reading` begins with a shard's
    name and makes its rows.
    """

    def __init__(self, parts: Sequence[tuple[type, Sequence[Any]]], run: Run | None = None) -> None:
        stages = [(actor, (actor(*arguments), _lock_for(actor))) for actor, arguments in parts]
        self._reading = [stage for actor, stage in stages if getattr(actor, "reading", False)]
        self._working = [stage for actor, stage in stages if not getattr(actor, "reading", False)]
        names = [actor.__name__ for actor, _ in parts if not getattr(actor, "reading", False)]
        self._care = None
        if run is not None and names:
            self._care = Care(Attempts(run.store, "-".join(names), run.session))

    def __call__(self, table: pa.Table) -> pa.Table:
        table = _through(self._reading, table)
        if self._care is None:
            return _through(self._working, table)
        return self._care(table, lambda rows: _through(self._working, rows))


def _through(stages: Sequence[tuple[Any, AbstractContextManager[Any]]], table: pa.Table) -> pa.Table:
    for stage, lock in stages:
        with lock:
            table = stage(table)
    return table


def _lock_for(actor: type) -> AbstractContextManager[Any]:
    return nullcontext() if getattr(actor, "concurrent", False) else threading.Lock()


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
            else load_codec(
                config.model.codec_spec, config.model.codec_pin, device, known_id=run.identity.codec
            )
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
            rules_of(self._check),
        )
        return reference_clip(
            row["prompt_id"], row["prompt_text"], row["language"], loaded.data, self._check.max_prompt_s
        )


class PackSamples:
    """A planned shard -> its packed samples, committed under `samples/`; read there if others did it."""

    reading = True

    def __init__(self, run: Run, cache: PromptCache, failed_prompts: dict[str, RowError], board: Any) -> None:
        from pipeline.engine.chat_prompt import PromptFormat

        model = run.config.model
        self._run = run
        self._footer_of = kept_footers(run.store)
        self._report = Reporter(board, "pack_sample")
        self._prompt_of = prompt_lookup(cache, failed_prompts)
        self._format = PromptFormat.load(
            model.checkpoint,
            model.revision,
            style=model.prompt_style,
            semantic=model.semantic,
            max_positions=model.max_positions,
            known_id=run.identity.model,
        )
        codec = codec_info(model.codec_spec, model.codec_pin, known_id=run.identity.codec)
        self._frame_rate = codec.frame_rate
        self._consent = load_consent(run.config.consent.required, run.config.consent.revoked)

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.stages.check_consent import check_table
        from pipeline.stages.pack_sample import pack_samples

        [shard], samples = _shards(table), self._run.samples
        committed = samples.read_commit(shard.name)
        if committed is None:
            packed = self._report.through(
                pa.Table.from_pylist(read_planned(self._run.store, shard, self._footer_of(shard.part))),
                SAMPLE_ROW,
                lambda rows: pack_samples(rows, self._format, self._frame_rate, self._prompt_of),
            )
            mine = uuid.uuid4().hex
            committed = samples.write_shard(shard.name, packed, mine, {"failed": count_failed(packed)})
            if committed.attempt == mine:
                return check_table(packed, self._consent)
        else:
            self._report.board.add.remote("pack_sample", committed.rows - committed.extra["failed"], 0, 0.0)
        return check_table(samples.read_table(committed), self._consent)


class Speak:
    """A packed shard -> its utterances. Several shards at a time: see `Chain`.

    One engine thread speaks the rows of all of them; the codec decodes a shard whose rows have ended on its
    caller's thread, beside the engine.
    """

    concurrent = True

    def __init__(self, run: Run, board: Any, device: str) -> None:
        import torch

        from pipeline.config import fingerprint
        from pipeline.engine.context import Context
        from pipeline.engine.device import shards_at_once
        from pipeline.engine.service import EngineService
        from pipeline.provenance import made_by
        from pipeline.run_engine import open_engine
        from pipeline.watermark import load_watermark

        model, identity = run.config.model, run.identity
        if device == "cpu":
            torch.set_num_threads(model.cpu_threads)
        engine = open_engine(run, device)
        shard_rows = run.config.output.shard_rows
        rows = shard_rows * shards_at_once(model.slots, shard_rows, on_gpu=device == "cuda")
        context = Context(engine.checkpoint.prompt_format, model.context_rows)
        self._service = EngineService(engine, max_rows=rows, deadline_s=model.row_deadline_s, context=context)
        self._meter = EngineMeter(engine, board)
        self._codec = load_codec(model.codec_spec, model.codec_pin, device, known_id=identity.codec)
        self._watermark = load_watermark(run.config.output.watermark)
        self._comments = made_by(identity.model, identity.codec, fingerprint(identity.to_dict()))
        self._generated = Reporter(board, "generate_codes", self._codec.frame_rate)
        self._decoded = Reporter(board, "decode_codes")

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.stages.decode_codes import decode_codes
        from pipeline.stages.generate_codes import generate_codes

        with a_dead_engine_ends_its_process():
            generated = self._generated.through(
                table, GENERATED_ROW, lambda rows: generate_codes(rows, self._service)
            )
            self._meter.report()
            return self._decoded.through(
                generated,
                UTTERANCE_ROW,
                lambda rows: decode_codes(rows, self._codec, self._comments, self._watermark),
            )


@contextmanager
def a_dead_engine_ends_its_process() -> Iterator[None]:
    """A failed device spoils its process for good: Ray builds the actor anew, and the shard is done again.

    If that one's engine fails, too, its error ends the run.
    """
    try:
        yield
    except EngineFatalError:
        if not ray.get_runtime_context().was_current_actor_reconstructed:
            log.exception("this worker ends, to be started anew")
            os._exit(1)
        raise


class EngineMeter:
    """What an engine has done, and how it stands, to the board."""

    def __init__(self, engine: Any, board: Any) -> None:
        self._engine, self._board = engine, board
        self._reported = dict.fromkeys(("frames", "slot_steps", "prefill_tokens", "prompt_tokens"), 0)
        self._lock = threading.Lock()
        self._id = ray.get_runtime_context().get_actor_id()

    def report(self) -> None:
        engine, counters = self._engine, self._engine.counters
        with self._lock:
            now = {
                "frames": counters.frames,
                "slot_steps": counters.steps * engine.num_slots,
                "prefill_tokens": counters.prefill_tokens,
                "prompt_tokens": counters.prompt_tokens,
            }
            done = {name: total - self._reported[name] for name, total in now.items()}
            self._reported = now
        self._board.count_work.remote(done)
        levels = {"rows_waiting": engine.num_waiting, "device_bytes": engine.device_bytes()}
        self._board.set_levels.remote(self._id, levels)


class LoadUtterances:
    """A planned shard of existing audio, with its references' embeddings."""

    reading = True

    def __init__(self, run: Run, cache: PromptCache, failed_prompts: dict[str, RowError], board: Any) -> None:
        self._run = run
        self._footer_of = kept_footers(run.store)
        self._report = Reporter(board, "load_utterance")
        self._voice_of = voice_lookup(prompt_lookup(cache, failed_prompts))

    def __call__(self, table: pa.Table) -> pa.Table:
        [shard] = _shards(table)
        planned = pa.Table.from_pylist(read_planned(self._run.store, shard, self._footer_of(shard.part)))
        return self._report.through(planned, UTTERANCE_ROW, self._load)

    def _load(self, rows: list[Row]) -> list[Row]:
        from pipeline.stages.each_row import each_row
        from pipeline.stages.load_utterance import STAGE, load_utterances

        rules = rules_of(self._run.config.check)
        loaded = load_utterances(rows, _MAX_UTTERANCE_BYTES, _MAX_UTTERANCE_S, rules)
        return each_row(loaded, STAGE, lambda row: row | self._voice_of(row))


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


class RateQuality:
    def __init__(self, run: Run, board: Any, device: str) -> None:
        self._report = Reporter(board, "rate_quality")
        model = load_quality_model(run.config.evaluation.quality_model)
        assert model is not None, "the flow leaves this stage out when there is no quality model"
        self._model = model

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.stages.rate_quality import rate_quality

        return self._report.through(table, HEARD_ROW, lambda rows: rate_quality(rows, self._model))


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
