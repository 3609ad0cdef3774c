"""Training shards in the pipeline's own format: jobs.train_model takes the folder as it is.

The codes are those that the model said, so they are of the generating model's codec. Reference and target
are different utterances of one speaker. Phones are not known and their column is absent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipeline.audio import WHISPER_SAMPLE_RATE, decode_audio, resample, to_int16
from pipeline.config import ModelConfig
from pipeline.dataset.exporters.base import SPLIT, Exporter
from pipeline.dataset.exporters.shards import ParquetShards
from pipeline.dataset.selection import RECORD, Utterance
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.model_files import locate
from pipeline.errors import RowError
from pipeline.records import SAMPLE_ROW, Row, SpeakerPrompt, SynthesisRequest, array_of
from pipeline.stages.load_prompt import prompt_id
from pipeline.stages.pack_sample import sample_columns
from pipeline.storage import Store
from pipeline.training.pack_corpus import Pairing, pair_up

TARGETS_EACH = 6  # of a reference, as in jobs.pack_corpus
WAITING_BYTES = 256 * 2**20  # of utterances whose speaker may have more
_SCHEMA = pa.schema([*SAMPLE_ROW, *(each for each in RECORD if each.name not in SAMPLE_ROW.names)])


def training_format(model: ModelConfig) -> PromptFormat:
    """The prompts that jobs.train_model makes of this checkpoint. Raises CheckpointError."""
    files = locate(model.checkpoint, model.revision, weights=False)
    return PromptFormat.from_folder(files.folder, files.id, style="document", semantic="auto")


class ChatML(Exporter):
    name = "chatml"
    files = rf"{SPLIT}/\d{{5}}\.parquet"

    def __init__(
        self, store: Store, prompt_format: PromptFormat, *, waiting_bytes: int = WAITING_BYTES
    ) -> None:
        super().__init__(store)
        self._format = prompt_format
        self._waiting_bytes = waiting_bytes
        self._shards: dict[str, ParquetShards] = {}
        self._waiting: dict[str, list[Utterance]] = {}
        self._spare: dict[str, Utterance] = {}  # one of each speaker that is written
        self._bytes = 0

    def add(self, utterance: Utterance) -> None:
        self._waiting.setdefault(utterance.record["speaker"], []).append(utterance)
        self._bytes += _size(utterance)
        if self._bytes >= self._waiting_bytes:
            # whoever has most: few speakers are parted, and their parts are large
            self._write(max(self._waiting, key=lambda speaker: sum(map(_size, self._waiting[speaker]))))

    def finish(self) -> None:
        for speaker in list(self._waiting):
            self._write(speaker)
        for shards in self._shards.values():
            shards.close()

    def how_to_load(self, split: str) -> str:
        return (
            "# python -m jobs.train_model THIS_FOLDER OUT --init CHECKPOINT   (it reads train/ and valid/)\n"
            "import pyarrow.parquet\n\n"
            f'table = pyarrow.parquet.read_table("{split}")'
        )

    def _write(self, speaker: str) -> None:
        utterances = self._waiting.pop(speaker)
        self._bytes -= sum(map(_size, utterances))
        split = utterances[0].split
        if split not in self._shards:
            self._shards[split] = ParquetShards(self.store, f"{split}/%05d.parquet", _SCHEMA)
        for row in self._samples(speaker, utterances):
            heavy = ("audio_ids_concat", "audio_waveforms_concat", "label_audio_ids")
            self._shards[split].add(row, sum(len(row[name]) for name in heavy) + 4 * len(row["input_ids"]))
        self._spare[speaker] = utterances[0]

    def _samples(self, speaker: str, utterances: list[Utterance]) -> Iterator[Row]:
        if len(utterances) == 1:
            if speaker not in self._spare:
                self.left_out["speaker_has_one_utterance"] += 1
                return
            utterances = [self._spare[speaker], *utterances]
            pairings: Sequence[Pairing] = [Pairing(0, (1,))]
        else:
            seed = int.from_bytes(hashlib.sha256(utterances[0].record["id"].encode()).digest()[:8])
            pairings = pair_up([u.record["duration_s"] for u in utterances], TARGETS_EACH, seed)
        for pairing in pairings:
            reference = utterances[pairing.reference]
            prompt = _prompt(reference)
            for target in pairing.targets:
                try:
                    yield self._sample(reference, prompt, utterances[target])
                except RowError as error:
                    self.left_out[error.code] += 1

    def _sample(self, reference: Utterance, prompt: SpeakerPrompt, target: Utterance) -> Row:
        """Raises RowError for a pair that the model cannot read."""
        row = target.row
        request = SynthesisRequest(
            row=row["row"],
            utterance_id=row["utterance_id"],
            prompt_audio=f"#{reference.record['id']}",
            prompt_text=prompt.prompt_text,
            target_text=row["target_text"],
            language=row["language"],
            seed=row["seed"],
            scene=row["scene"],
            speaker=row["speaker"],
            audio_uri=f"#{row['utterance_id']}",
            consent_id=row["consent_id"],
        )
        sample = self._format.pack(
            request,
            prompt,
            max_new_frames=row["max_new_frames"],
            label_codes=array_of(row["codes"], row["codes_shape"], row["codes_dtype"]),
        )
        told = {field: getattr(request, field) for field in SynthesisRequest.__slots__}
        return told | target.record | {"prompt_id": prompt.prompt_id} | sample_columns(sample)


def _prompt(reference: Utterance) -> SpeakerPrompt:
    row, clip = reference.row, decode_audio(reference.audio)
    digest = hashlib.sha256(reference.audio).hexdigest()
    return SpeakerPrompt(
        prompt_id=prompt_id(digest, row["target_text"], row["language"]),
        prompt_text=row["target_text"],
        codes=array_of(row["codes"], row["codes_shape"], row["codes_dtype"]),
        waveform=to_int16(resample(clip, WHISPER_SAMPLE_RATE).samples),
        duration_s=clip.duration_s,
        embedding=None,
    )


def _size(utterance: Utterance) -> int:
    return len(utterance.audio) + len(utterance.row["codes"])
