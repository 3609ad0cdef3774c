"""Write the held-out test set, or measure the teacher and a codec on it. Needs flite.

    python -m jobs.held_out_set SENTENCES MANIFEST            writes MANIFEST and its references beside it
    python -m jobs.held_out_set SENTENCES MANIFEST --codec CODEC [--rows N]     one JSON line each

The model itself is measured by `python -m jobs.evaluate_mini MODEL MANIFEST --rows 200`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.audio import Waveform, encode_flac, resample
from pipeline.codecs import load_codec
from pipeline.command_options import job_parser
from pipeline.errors import CheckpointError
from pipeline.evaluators import load_speaker_encoder, load_transcriber
from pipeline.reported import reported
from pipeline.training.corpus import CorpusPlan
from pipeline.training.held_out_set import (
    HeldOutRow,
    choose_speakers,
    held_out_rows,
    manifest_csv,
    reference_of,
)
from pipeline.training.speech_quality import SpokenRow, listen, summary
from pipeline.training.teacher import speak


def write(rows: Sequence[HeldOutRow], manifest: Path) -> None:
    folder = manifest.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for row in {row.speaker.speaker_id: row for row in rows}.values():
        (folder / f"{row.speaker.speaker_id}.flac").write_bytes(encode_flac(reference_of(row)))
    manifest.write_bytes(manifest_csv(rows, folder.name))


def measure(rows: Sequence[HeldOutRow], codec_spec: str) -> None:
    codec = load_codec(codec_spec)
    encoder, transcriber = load_speaker_encoder("demo:resemblyzer"), load_transcriber("demo:pocketsphinx")
    if encoder is None or transcriber is None:
        raise CheckpointError("the demo evaluators are missing: install the extra `demo`")
    voices = {row.speaker.speaker_id: reference_of(row) for row in rows}
    embedded = zip(voices, encoder.embed(list(voices.values())), strict=True)
    vectors = {name: found.vector for name, found in embedded if found.vector is not None}
    said = [resample(speak(row.speaker, row.text).waveform, codec.sample_rate) for row in rows]
    kept = codec.decode(codec.encode(said))
    for name, clips in (("teacher", said), ("codec", kept)):
        heard = listen(
            [_spoken(*pair) for pair in zip(rows, clips, strict=True)], transcriber, encoder, vectors, 8
        )
        print(json.dumps({"ablation": name, **summary(heard)}), flush=True)


def _spoken(row: HeldOutRow, clip: Waveform) -> SpokenRow:
    return SpokenRow(row.utterance_id, row.speaker.speaker_id, row.text, "en", clip, finished=True)


def main() -> int:
    parser = job_parser("held_out_set", __doc__)
    parser.add_argument("sentences", type=Path, help="text file, one sentence per line")
    parser.add_argument("manifest", type=Path, help="manifest to write (CSV)")
    parser.add_argument("--codec", help="measure this codec's folder instead of writing the manifest")
    parser.add_argument("--rows", type=int, help="use only this many sentences")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sentences = given.sentences.read_text("utf-8").splitlines()[: given.rows]
    rows = held_out_rows(sentences, choose_speakers(CorpusPlan()))
    if given.codec is None:
        write(rows, given.manifest)
    else:
        measure(rows, given.codec)
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
