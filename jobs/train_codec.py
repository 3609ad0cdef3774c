"""Train a codec on the teacher corpus: `frame` (for a laptop) or `dac` (for a GPU), with the same losses.

    python -m jobs.train_codec CORPUS OUT [--network frame|dac] [--steps N] [--decay-steps N] ...

OUT gets the training state; the same command resumes from it. To finish: a few more --steps, all of them
--decay-steps, and --export FOLDER [--codebooks K]. With --decoder-of FOLDER only the decoder of that exported
frame codec is trained, and its codes stay valid.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from pipeline.codecs.dac_codec import new_dac, save_dac
from pipeline.codecs.frame_codec import load_frame_network, save_frame_codec
from pipeline.codecs.frame_config import FrameCodecConfig
from pipeline.codecs.frame_network import FrameCodec
from pipeline.command_options import job_parser
from pipeline.reported import reported
from pipeline.storage import open_store
from pipeline.training.clips import Clips, Crops, build_clips, open_clips
from pipeline.training.codec_training import (
    LOSS_WEIGHTS,
    SPECTRAL_WEIGHTS,
    CodecTrainee,
    DecoderTrainee,
)
from pipeline.training.teacher import SAMPLE_RATE
from pipeline.training.trainer import TrainSettings, train

CODEC_NAME = "voicemill-mini-codec"
_HOP = 960
_DAC = {
    "encoder_dim": 64,
    "encoder_rates": [4, 4, 6, 10],
    "decoder_dim": 1536,
    "decoder_rates": [10, 6, 4, 4],
    "codebook_size": 1024,
    "codebook_dim": 8,
    "sample_rate": SAMPLE_RATE,
}


def new_trainee(given: argparse.Namespace) -> CodecTrainee | DecoderTrainee:
    torch.manual_seed(given.seed)
    if given.decoder_of:
        return DecoderTrainee(load_frame_network(given.decoder_of, str(given.decoder_of)), SAMPLE_RATE)
    if given.network == "dac":
        network = new_dac(**_DAC, n_codebooks=given.codebooks_trained, quantizer_dropout=0.5)
    else:
        network = FrameCodec(FrameCodecConfig(n_codebooks=given.codebooks_trained))
    return CodecTrainee(network, SAMPLE_RATE)


def clips_of(corpus: str, folder: Path, console: Console) -> Clips:
    """The corpus' training clips, unpacked into `folder` the first time."""
    if (clips := open_clips(folder)) is None:
        console.print(f"unpacking {corpus}")
        build_clips(open_store(corpus), folder)
        clips = open_clips(folder)
    assert clips is not None
    console.print(f"{len(clips.starts) - 1} clips, {len(clips.samples) / SAMPLE_RATE / 3600:.1f} h")
    return clips


def parsed() -> argparse.Namespace:
    parser = job_parser("train_codec", __doc__)
    parser.add_argument("corpus", help="folder written by jobs.synthesize_corpus")
    parser.add_argument("out", type=Path, help="folder of the training state")
    parser.add_argument("--network", choices=["frame", "dac"], default="frame", help="architecture")
    parser.add_argument("--codebooks-trained", type=int, default=8, help="codebooks of the network")
    parser.add_argument("--decoder-of", type=Path, help="train only the decoder of this exported frame codec")
    parser.add_argument("--clips", type=Path, help="folder to unpack the corpus into; OUT/clips unless given")
    parser.add_argument("--steps", type=int, default=20_000, help="steps in all")
    parser.add_argument(
        "--decay-steps", type=int, default=0, help="how many of them, at the end, lower the learning rate"
    )
    parser.add_argument("--batch", type=int, default=14, help="crops per step")
    parser.add_argument("--frames", type=int, default=24, help="frames per crop, 25 a second")
    parser.add_argument("--learning-rate", type=float, default=6e-4, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1, help="of weights and crops")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    parser.add_argument("--export", type=Path, help="write the codec to this folder at the end")
    parser.add_argument("--codebooks", type=int, help="codebooks to export; all of them unless given")
    return parser.parse_args()


def main() -> int:
    given = parsed()
    torch.set_num_threads(given.threads)
    clips = clips_of(given.corpus, given.clips or given.out / "clips", Console())
    trainee = new_trainee(given).to(given.device)
    settings = TrainSettings(
        steps=given.steps,
        decay_steps=given.decay_steps,
        learning_rate=given.learning_rate,
        loss_weights=SPECTRAL_WEIGHTS if given.decoder_of else LOSS_WEIGHTS,
        max_grad_norm=10.0,
        seed=given.seed,
        log_every=50,
        checkpoint_every=500,
        unit="audio_seconds",
    )

    def batch_of(step: int) -> Crops:
        crops = clips.crops(given.seed, step, given.batch, given.frames, _HOP)
        return replace(crops, audio=crops.audio.to(given.device), phones=crops.phones.to(given.device))

    def losses_of(module: nn.Module, crops: Crops) -> dict[str, torch.Tensor]:
        losses: dict[str, torch.Tensor] = module(crops)
        return losses

    outcome = train(
        trainee,
        batch_of,
        losses_of,
        settings,
        given.out,
        size_of=lambda crops: crops.audio.numel() / SAMPLE_RATE,
        after_step=lambda module, step: trainee.after_step(step),
    )
    if given.export and not outcome.stopped:
        if given.network == "dac":
            save_dac(trainee.codec, given.export, CODEC_NAME)
        else:
            save_frame_codec(trainee.codec, given.export, CODEC_NAME, given.codebooks)
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
