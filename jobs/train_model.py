"""Train voicemill-mini on packed samples, or fine-tune a checkpoint, with LoRA if asked.

    python -m jobs.train_model SAMPLES OUT [--steps N] [--decay-steps N] [--codebooks K] ...
    python -m jobs.train_model SAMPLES OUT --init CHECKPOINT [--revision REV] [--lora-rank 16] ...

SAMPLES has train/ and valid/ with labelled shards of the pipeline's own samples. OUT gets the training
state; the same command resumes from it. To finish: a few more --steps, all of them --decay-steps, and
--export FOLDER for a checkpoint that the pipeline loads. --workers N trains on N processes with Ray Train.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from pipeline.command_options import job_parser
from pipeline.config import ResourceConfig
from pipeline.reported import reported
from pipeline.training.model_export import export_trainee
from pipeline.training.model_training import (
    ModelRun,
    loss_weights,
    new_trainee,
    prepare_folder,
    train_model,
)
from pipeline.training.trainer import TrainSettings


def arguments() -> argparse.Namespace:
    parser = job_parser("train_model", __doc__)
    parser.add_argument("samples", type=Path, help="folder written by jobs.pack_corpus")
    parser.add_argument("out", type=Path, help="folder of the training state")
    parser.add_argument("--codebooks", type=int, default=4, help="of a new model")
    parser.add_argument("--init", help="checkpoint to start from: mini, standin, a folder or a hub id")
    parser.add_argument("--revision", help="commit of --init, if that is a hub id")
    parser.add_argument(
        "--guided", action="store_true", help="continue the training of --init instead of fine-tuning it"
    )
    parser.add_argument(
        "--drop-codes",
        type=float,
        default=0.0,
        help="share of references given by their semantic features alone",
    )
    parser.add_argument(
        "--lora-rank", type=int, default=0, help="train only adapters of this rank; 0: all weights"
    )
    parser.add_argument("--steps", type=int, default=100_000, help="steps in all")
    parser.add_argument(
        "--decay-steps", type=int, default=0, help="how many of them, at the end, lower the learning rate"
    )
    parser.add_argument(
        "--warmup-steps", type=int, default=200, help="steps of rising learning rate at the start"
    )
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--positions", type=int, default=4000, help="positions per batch, on each worker")
    parser.add_argument(
        "--max-targets", type=int, default=10, help="targets that share one reference in a batch"
    )
    parser.add_argument("--evaluate-every", type=int, default=250, help="steps between validations")
    parser.add_argument("--seed", type=int, default=1, help="of weights and batches")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes to train on with Ray Train; 0: this one"
    )
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    parser.add_argument("--export", type=Path, help="write the checkpoint to this folder at the end")
    return parser.parse_args()


def train_here(given: argparse.Namespace, **workers: Any) -> None:
    """Train in this process; `workers` are the rank, the number and the wrapper of data parallel training."""
    torch.set_num_threads(given.threads)
    run = ModelRun(
        samples=given.samples.absolute(),
        folder=given.out.absolute(),
        num_codebooks=given.codebooks,
        init=given.init,
        init_revision=given.revision,
        guided=given.guided,
        drop_codes=given.drop_codes,
        lora_rank=given.lora_rank,
        positions=given.positions,
        max_targets=given.max_targets,
        device=given.device,
    )
    trainee = new_trainee(run, given.seed)
    settings = TrainSettings(
        steps=given.steps,
        decay_steps=given.decay_steps,
        warmup_steps=given.warmup_steps,
        learning_rate=given.learning_rate,
        loss_weights=loss_weights(trainee.module, guided=given.guided or given.init is None),
        seed=given.seed,
        evaluate_every=given.evaluate_every,
        unit="positions",
    )
    outcome = train_model(run, trainee, settings, **workers)
    if given.export and not outcome.stopped and workers.get("rank", 0) == 0:
        export_trainee(trainee, run.folder, given.export)


def train_on_workers(given: argparse.Namespace) -> None:
    """Ray Train's data parallelism: NCCL on GPUs, gloo on CPUs. OUT must be seen by all workers."""
    import ray.train
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from pipeline.flow import start_ray, stop_ray

    def worker(config: dict[str, Any]) -> None:
        from ray.train.torch import get_device, prepare_model

        context = ray.train.get_context()
        given = argparse.Namespace(**{**config, "device": str(get_device())})
        train_here(
            given,
            rank=context.get_world_rank(),
            world_size=context.get_world_size(),
            parallel=prepare_model,
        )

    cluster = start_ray(ResourceConfig())
    try:
        TorchTrainer(
            worker,
            train_loop_config={
                **vars(given),
                "samples": given.samples.absolute(),
                "out": given.out.absolute(),
            },
            scaling_config=ScalingConfig(num_workers=given.workers, use_gpu=given.device.startswith("cuda")),
            run_config=RunConfig(name="ray", storage_path=str(given.out.absolute())),
        ).fit()
    finally:
        stop_ray(cluster)


def main() -> int:
    given = arguments()
    prepare_folder(ModelRun(given.samples, given.out, given.codebooks, given.init, given.revision))
    if given.workers:
        train_on_workers(given)
    else:
        train_here(given)
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
