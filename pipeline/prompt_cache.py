"""Encoded voices, kept across runs: one small Parquet object per (audio, transcript, encoders).

The key names everything the content depends on, so an entry is never stale; losing one costs only
the time to encode it again.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import RunConfig
from pipeline.errors import StorageError
from pipeline.records import SpeakerPrompt, array_of, bytes_of
from pipeline.run import Run, config_of_run
from pipeline.storage import ObjectMissing, Store, open_store
from pipeline.uris import parent_uri

_CACHES = "caches"
SPEAKER_PROMPT = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("prompt_text", pa.string()),
        ("codes", pa.binary()),  # uint16
        ("codes_shape", pa.list_(pa.int32())),
        ("waveform", pa.binary()),  # int16, 16 kHz
        ("duration_s", pa.float64()),
        ("embedding", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True, slots=True)
class PromptCache:
    """`encoders` names codec, speaker encoder and transcriber with their revisions."""

    store: Store
    encoders: str

    def key(self, prompt_id: str) -> str:
        return f"{hashlib.sha256(self.encoders.encode()).hexdigest()[:12]}/{prompt_id}.parquet"

    def get(self, prompt_id: str) -> SpeakerPrompt | None:
        """Raises StorageError for a damaged entry: its rows must not fail for it."""
        key = self.key(prompt_id)
        try:
            return _prompt_of(pq.read_table(io.BytesIO(self.store.get(key))))
        except ObjectMissing:
            return None
        except (pa.ArrowInvalid, OSError, ValueError, KeyError) as error:
            raise StorageError(
                f"{self.store.uri}/{key}: a damaged voice in the cache; delete it and run again"
            ) from error

    def put(self, prompt: SpeakerPrompt) -> None:
        buffer = io.BytesIO()
        pq.write_table(_table_of(prompt), buffer, compression="zstd")
        self.store.put(self.key(prompt.prompt_id), buffer.getvalue())

    def known(self) -> set[str]:
        """The prompt ids that need no encoding."""
        folder = self.key("x").partition("/")[0]
        return {key.removeprefix(f"{folder}/").removesuffix(".parquet") for key in self.store.list(folder)}


def cache_uri(run_uri: str, config: RunConfig) -> str:
    """Where a run's encoded voices are kept: beside it, for its neighbours too, unless the job says where."""
    return config.resources.prompt_cache or _beside(run_uri)


def _beside(run_uri: str) -> str:
    return f"{parent_uri(run_uri)}/.prompt-cache"


def open_cache(run: Run, encoders: str) -> PromptCache:
    """The cache of this session, noted in the run: another one may use another, and whoever removes voices
    must find them all."""
    store = open_store(cache_uri(run.uri, run.config))
    name = hashlib.sha256(store.uri.encode()).hexdigest()[:16]
    run.store.create(f"{_CACHES}/{name}", store.uri.encode())
    return PromptCache(store, encoders)


def caches_of(run_uri: str) -> list[Store]:
    """Every cache that a run's sessions have used. Raises RunConflictError where there is no run."""
    recorded = cache_uri(run_uri, config_of_run(run_uri))  # all that runs had before caches were noted
    store = open_store(run_uri)
    noted = [store.get(key).decode() for key in store.list(_CACHES)]
    # the run may have moved together with what lies beside it
    stores = map(open_store, [recorded, _beside(run_uri), *noted])
    # one folder may be spelled in two ways
    return list({os.path.realpath(s.uri) if s.local_path("x") else s.uri: s for s in stores}.values())


def _table_of(prompt: SpeakerPrompt) -> pa.Table:
    row = {
        "prompt_id": prompt.prompt_id,
        "prompt_text": prompt.prompt_text,
        "codes": bytes_of(prompt.codes),
        "codes_shape": list(prompt.codes.shape),
        "waveform": bytes_of(prompt.waveform),
        "duration_s": prompt.duration_s,
        "embedding": None if prompt.embedding is None else prompt.embedding.tolist(),
    }
    return pa.Table.from_pylist([row], schema=SPEAKER_PROMPT)


def _prompt_of(table: pa.Table) -> SpeakerPrompt:
    [row] = table.to_pylist()
    embedding = row["embedding"]
    return SpeakerPrompt(
        prompt_id=row["prompt_id"],
        prompt_text=row["prompt_text"],
        codes=array_of(row["codes"], row["codes_shape"], "uint16"),
        waveform=array_of(row["waveform"], (-1,), "int16"),
        duration_s=row["duration_s"],
        embedding=None if embedding is None else np.asarray(embedding, dtype=np.float32),
    )
