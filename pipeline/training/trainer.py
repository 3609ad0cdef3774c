"""One training loop for every network here: the codec and the language model.

A step is a function of (weights, optimizer, settings, step number): `batch_of(step)` draws from nothing
but its seed and the step, and torch's generator is reseeded before each step. So a run that was killed
and resumed from its last checkpoint is the run that was never killed, and no data state is saved.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import nn

from pipeline.errors import ConfigError
from pipeline.training.checkpoints import last_checkpoint, load_training_state, save_training_state
from pipeline.training.training_log import TrainingLog

Batch = TypeVar("Batch")
Losses = Mapping[str, torch.Tensor]
_GOLDEN = 0x9E3779B97F4A7C15  # spreads (seed, step) over the generator's 64 bits


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How long and how fast. `loss_weights` names the losses that are trained on; others are logged only.

    The learning rate rises over `warmup_steps`, stays, and falls linearly to zero over the last
    `decay_steps` of `steps`. To go on after a plateau, resume with more `steps`; to finish one, resume
    with `steps` a little above the last checkpoint's and `decay_steps` as many.
    """

    steps: int
    learning_rate: float
    loss_weights: Mapping[str, float]
    warmup_steps: int = 200
    decay_steps: int = 0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    log_every: int = 20
    evaluate_every: int = 500
    checkpoint_every: int = 500
    checkpoint_minutes: float = 5.0
    unit: str = "items"  # what `size_of` counts, for the log

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate is {self.learning_rate}, must be above 0")
        if self.decay_steps > self.steps:
            raise ConfigError(f"decay_steps {self.decay_steps} are more than steps {self.steps}")


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """`step` steps are done; `stopped` if a signal ended the run before the last one."""

    step: int
    stopped: bool


@dataclass(slots=True)
class _Interval:
    """Sums since the last line of the log."""

    steps: int = 0
    size: float = 0.0
    grad_norm: float = 0.0
    losses: dict[str, torch.Tensor] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    def add(self, losses: Losses, grad_norm: float, size: float) -> None:
        self.steps += 1
        self.size += size
        self.grad_norm += grad_norm
        for name, value in losses.items():
            # a loss may be absent from some batches; each is averaged over the steps that had it
            self.losses.setdefault(name, torch.zeros(2))
            self.losses[name] += torch.tensor([float(value.detach()), 1.0])

    def line(self, unit: str) -> dict[str, float]:
        seconds = time.perf_counter() - self.began
        means = {name: float(total / count) for name, (total, count) in self.losses.items()}
        return means | {
            "grad_norm": self.grad_norm / self.steps,
            "seconds_per_step": seconds / self.steps,
            f"{unit}_per_second": self.size / seconds,
        }


def learning_rate_at(step: int, settings: TrainSettings) -> float:
    """The learning rate of step number `step`, counted from 0."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    fall = min(1.0, (settings.steps - step) / max(1, settings.decay_steps))
    return settings.learning_rate * rise * fall


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Trainable parameters for AdamW: no decay of embeddings, nor of anything less than a matrix."""
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            # weight normalisation's gains are [N, 1, 1]
            matrix = sum(size > 1 for size in parameter.shape) > 1 and id(parameter) not in embeddings
            (decayed if matrix else kept).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def train(
    module: nn.Module,
    batch_of: Callable[[int], Batch],
    losses_of: Callable[[nn.Module, Batch], Losses],
    settings: TrainSettings,
    folder: Path,
    *,
    evaluate: Callable[[nn.Module, int], Mapping[str, float]] | None = None,
    size_of: Callable[[Batch], float] = lambda batch: 1.0,
    after_step: Callable[[nn.Module, int], None] | None = None,
    is_writer: bool = True,
) -> TrainOutcome:
    """Train `module` up to `settings.steps`, from the last checkpoint in `folder` if there is one.

    `batch_of(step)` must depend on the step alone (and a seed of its own). `losses_of` returns scalars by
    name. `evaluate(module, step)` runs in eval mode without gradients every `evaluate_every` steps and at
    the end. `after_step(module, step)` may change weights in place, as reviving dead codes does.
    Writes `log.jsonl` and `checkpoint-*.pt`; a checkpoint also on SIGTERM and SIGINT. Under data parallel
    training one process is the writer. Raises ConfigError for a loss weight without a loss, and
    FloatingPointError when the sum of the losses is not finite.
    """
    bare = module.module if isinstance(module, nn.parallel.DistributedDataParallel) else module
    optimizer = torch.optim.AdamW(
        parameter_groups(bare, settings.weight_decay),
        lr=settings.learning_rate,
        betas=settings.betas,
        fused=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    step = 0
    if (checkpoint := last_checkpoint(folder)) is not None:
        step = load_training_state(checkpoint, bare, optimizer)
    log = TrainingLog(folder / "log.jsonl", resume_at=step) if is_writer else None
    device = next(bare.parameters()).device.type
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    interval, saved_at, saved_step = _Interval(), time.monotonic(), step
    module.train()
    with _stop_requests() as stop_requested:
        while step < settings.steps and not stop_requested():
            rate = learning_rate_at(step, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            torch.manual_seed((settings.seed * _GOLDEN + step) % 2**63)
            batch = batch_of(step)
            with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                losses = losses_of(module, batch)
            total = _weighted_sum(losses, settings.loss_weights)
            if not math.isfinite(float(total.detach())):
                parts = {name: float(value.detach()) for name, value in losses.items()}
                raise FloatingPointError(f"step {step}: the loss is not finite: {parts}")
            optimizer.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            grad_norm = float(nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm))
            optimizer.step()
            if after_step is not None:
                after_step(bare, step)
            step += 1
            interval.add({"loss": total, **losses}, grad_norm, size_of(batch))
            if log is not None and step % settings.log_every == 0:
                log.write({"step": step, "learning_rate": rate, **interval.line(settings.unit)})
                interval = _Interval()
            if evaluate is not None and (step % settings.evaluate_every == 0 or step == settings.steps):
                found = _evaluated(bare, step, evaluate)
                if log is not None:
                    log.write({"step": step, **{f"valid_{name}": value for name, value in found.items()}})
                interval.began = interval.began if interval.steps else time.perf_counter()
            due = step % settings.checkpoint_every == 0
            due = due or time.monotonic() - saved_at > 60 * settings.checkpoint_minutes
            if due and is_writer:
                save_training_state(folder, bare, optimizer, step)
                saved_at, saved_step = time.monotonic(), step
    if is_writer and step > saved_step:
        save_training_state(folder, bare, optimizer, step)
    return TrainOutcome(step, stopped=step < settings.steps)


def _weighted_sum(losses: Losses, weights: Mapping[str, float]) -> torch.Tensor:
    if missing := sorted(weights.keys() - losses.keys()):
        raise ConfigError(f"no loss is named {missing[0]!r}: there are {', '.join(sorted(losses))}")
    return torch.stack([weight * losses[name].float() for name, weight in weights.items()]).sum()


def _evaluated(
    module: nn.Module, step: int, evaluate: Callable[[nn.Module, int], Mapping[str, float]]
) -> Mapping[str, float]:
    module.eval()
    try:
        with torch.no_grad():
            return evaluate(module, step)
    finally:
        module.train()


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into an answer; a step that has begun is finished and saved."""
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield received.is_set  # signals reach the main thread only
        return
    before = {s: signal.signal(s, lambda *_: received.set()) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
