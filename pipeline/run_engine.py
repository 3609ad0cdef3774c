"""An engine for a run: with the run's settings, and as many slots as all its engines have.

Codes depend on the number of slots, and one GPU holds more than another. So the first engine of a run creates
`engine.json` with its number, and every later one keeps to that.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from pipeline.errors import RunConflictError
from pipeline.run import Run
from pipeline.storage import open_store

if TYPE_CHECKING:
    from pipeline.engine.continuous_engine import ContinuousEngine

log = logging.getLogger(__name__)
_KEY = "engine.json"


def open_engine(run: Run, device: str) -> ContinuousEngine:
    """Raises CheckpointError, ConfigError where the run's slots do not fit, RunConflictError."""
    from pipeline.engine.base import over
    from pipeline.engine.checkpoint import load_checkpoint
    from pipeline.engine.continuous_engine import ContinuousEngine, usual_slots
    from pipeline.engine.device import device_name

    model, sampling, resources = run.config.model, run.config.sampling, run.config.resources
    checkpoint = load_checkpoint(
        model.checkpoint,
        model.revision,
        device,
        model.dtype,
        semantic=model.semantic,
        style=model.prompt_style,
        max_positions=model.max_positions,
        known_id=run.identity.model,
    )
    # the rest is the evaluators', which are loaded before or after
    gpu_share = min(resources.engine_gpu_share + resources.codec_gpu_share, 1.0)
    own = model.slots or usual_slots(checkpoint, gpu_share)
    return ContinuousEngine(
        checkpoint,
        sampling=over(checkpoint.sampling, sampling.temperature, sampling.top_p, sampling.top_k),
        num_slots=agreed_slots(run, own, device_name(checkpoint.device)),
        gpu_share=gpu_share,
    )


def agreed_slots(run: Run, own: int, device: str) -> int:
    """The slots of the run's first engine, which is this one, with its `own`, if none was before."""
    # takes lie in folders of the run's own, and are spoken as it is
    store = open_store(run.uri.removesuffix(f"/takes/{run.take}")) if run.take else run.store
    if store.create(_KEY, json.dumps({"device": device, "slots": own}).encode()):
        return own
    try:
        first = json.loads(store.get(_KEY))
        slots, theirs = int(first["slots"]), str(first["device"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunConflictError(f"{store.uri}/{_KEY} is damaged; restore it, or name a new --out") from error
    if theirs != device:
        log.warning("%s was begun on %s, this is %s: its codes may differ", store.uri, theirs, device)
    return slots
