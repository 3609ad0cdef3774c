"""How much of words and voices a codec keeps, on held-out sentences by held-out speakers.

    python -m jobs.measure_codec CODEC [--clips N] [--codebooks 2,4,8] [--seed N]

Prints one JSON line for the teacher's own speech, then one per number of codebooks. CODEC is the folder of an
exported frame codec; the sentences are from packages the corpus does not use (jargon-text, debian-faq).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from pipeline.codecs.frame_codec import load_frame_network
from pipeline.command_options import job_parser
from pipeline.evaluators import load_speaker_encoder, load_transcriber
from pipeline.reported import reported
from pipeline.training.codec_evaluation import held_out_clips, listen
from pipeline.training.corpus import CorpusPlan
from pipeline.training.texts import held_out_sentences


def main() -> int:
    parser = job_parser("measure_codec", __doc__)
    parser.add_argument("codec", type=Path, help="folder of an exported frame codec")
    parser.add_argument("--clips", type=int, default=40, help="held-out clips to measure on")
    parser.add_argument("--codebooks", help="comma-separated numbers of codebooks; all of them unless given")
    parser.add_argument("--seed", type=int, default=7, help="chooses the sentences")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    network = load_frame_network(given.codec, str(given.codec))
    counts = [int(k) for k in (given.codebooks or str(network.config.n_codebooks)).split(",")]
    transcriber, encoder = load_transcriber("demo:pocketsphinx"), load_speaker_encoder("demo:resemblyzer")
    assert transcriber is not None
    assert encoder is not None
    plan = CorpusPlan()
    clips = held_out_clips(
        held_out_sentences(given.clips, given.seed), plan.speakers, plan.held_out_speakers, plan.seed
    )
    for heard in listen(network, clips, counts, transcriber, encoder):
        print(json.dumps(asdict(heard)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
