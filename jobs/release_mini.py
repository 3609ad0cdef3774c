"""Assemble the released checkpoint from a trained model, a codec and what was measured.

    python -m jobs.release_mini MODEL CODEC OUT --figures FIGURES.json --recipe RECIPE.json [--dtype T]

MODEL is an export, or the folder of a training run: its last state is used. FIGURES holds what the card
reports: `evaluations` (the lines of jobs.evaluate_mini) and facts by name. RECIPE holds how it was made:
`steps` (commands) and facts by name.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from pipeline.command_options import job_parser
from pipeline.engine.embedded import MINI_NAME, NOTES
from pipeline.reported import reported
from pipeline.training.checkpoints import last_checkpoint
from pipeline.training.model_export import export_run
from pipeline.training.model_training import ModelRun
from pipeline.training.release import assemble

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def main() -> int:
    parser = job_parser("release_mini", __doc__)
    parser.add_argument("model", type=Path, help="an export, or the folder of a training run")
    parser.add_argument("codec", type=Path, help="folder of the exported codec")
    parser.add_argument("out", type=Path, help="folder to write the checkpoint to")
    parser.add_argument("--figures", type=Path, required=True, help="JSON file: what was measured")
    parser.add_argument("--recipe", type=Path, required=True, help="JSON file: how it was made")
    parser.add_argument("--dtype", choices=sorted(_DTYPES), default="float16", help="of the model's weights")
    parser.add_argument(
        "--codec-dtype", choices=sorted(_DTYPES), default="float32", help="of the codec's weights"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.25, help="sampling temperature the checkpoint recommends"
    )
    parser.add_argument("--note", default=NOTES[MINI_NAME], help="what runs say about the model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as exported:
        model = given.model
        if last_checkpoint(model) is not None:
            export_run(ModelRun(model, model), Path(exported))
            model = Path(exported)
        size = assemble(
            model,
            given.codec,
            given.out,
            dtype=_DTYPES[given.dtype],
            codec_dtype=_DTYPES[given.codec_dtype],
            note=given.note,
            temperature=given.temperature,
            figures=json.loads(given.figures.read_text("utf-8")),
            recipe=json.loads(given.recipe.read_text("utf-8")),
            licence=Path(__file__).parents[1] / "LICENSE",
        )
    print(f"{given.out}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
