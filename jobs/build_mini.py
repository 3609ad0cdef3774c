"""Build voicemill-mini from nothing: corpus, codec, samples, model, figures, release. Needs flite.

    python -m jobs.build_mini WORK OUT [--device cuda] [--from STEP] [--rehearse]

Everything in between is in WORK, and every step resumes: run the same command again. On two CPU cores it
takes a day; on a large GPU less than an hour, apart from the corpus, which is CPU work. --rehearse runs
every step on next to nothing, in some ten minutes; the result cannot speak.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.command_options import job_parser
from pipeline.errors import ConfigError
from pipeline.reported import reported

CODEBOOKS = 6
DROP_CODES = 0.35  # or the codes alone carry the voice, and the semantic pathway learns nothing
ABLATIONS = ("no_semantic", "no_codes", "no_reference", "other_codes", "no_audio_ffn", "no_delay")
MEASURING = ("teacher", "quality", "ablations")  # they print a JSON line for each figure
SENTENCES, MANIFEST = "manifests/held_out_sentences.txt", "manifests/held_out.csv"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of everything. Steps are (all, of them with a falling rate)."""

    corpus: tuple[str, ...]
    codec: tuple[int, int]
    decoder: tuple[int, int]  # more for the codec's decoder alone: the codes stay
    model: tuple[int, int]
    rows: int
    best_of: int


FULL = Effort(("--rounds", "5"), (20_000, 2_000), (4_000, 2_000), (30_000, 6_000), rows=200, best_of=4)
REHEARSAL = Effort(
    ("--rounds", "1", "--speakers", "4", "--held-out", "2", "--per-shard", "24"),
    *((20, 10), (10, 5), (20, 10)),
    rows=8,
    best_of=2,
)


def steps(work: Path, out: Path, device: str, effort: Effort) -> dict[str, list[str]]:
    """The commands by name, in order: modules and their arguments."""
    corpus, samples, model = (str(work / name) for name in ("corpus", "samples", "model"))
    codes, codec = str(work / "codec" / "final"), str(work / "decoder" / "final")
    on = ["--device", device]
    evaluate = ["jobs.evaluate_mini", f"{model}/final", MANIFEST, "--codec", codec]
    evaluate += ["--rows", str(effort.rows), *on]

    def until(all_steps: int, falling: int) -> list[str]:
        return ["--steps", str(all_steps), "--decay-steps", str(falling)]

    return {
        "corpus": ["jobs.synthesize_corpus", corpus, *effort.corpus],
        "codec": [
            *("jobs.train_codec", corpus, str(work / "codec"), *until(*effort.codec)),
            *("--codebooks", str(CODEBOOKS), "--export", codes, *on),
        ],
        "decoder": [
            *("jobs.train_codec", corpus, str(work / "decoder"), "--decoder-of", codes),
            *until(*effort.decoder),
            *("--learning-rate", "5e-4", "--export", codec, *on),
        ],
        "samples": ["jobs.pack_corpus", corpus, codes, samples],
        "model": [
            *("jobs.train_model", samples, model, "--codebooks", str(CODEBOOKS)),
            *until(*effort.model),
            *("--learning-rate", "2e-3", "--drop-codes", str(DROP_CODES), "--export", f"{model}/final", *on),
        ],
        "teacher": ["jobs.held_out_set", SENTENCES, MANIFEST, "--codec", codec, "--rows", str(effort.rows)],
        "quality": [*evaluate, "--best-of", str(effort.best_of)],
        "ablations": [*evaluate, "--ablation", *ABLATIONS],
        "release": [
            *("jobs.release_mini", f"{model}/final", codec, str(out)),
            *("--figures", str(work / "figures.json"), "--recipe", str(work / "recipe.json")),
        ],
    }


def main() -> int:
    parser = job_parser("build_mini", __doc__)
    parser.add_argument("work", type=Path, help="folder for everything in between")
    parser.add_argument("out", type=Path, help="folder of the released checkpoint")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--from", dest="first", metavar="STEP", help="start at this step")
    parser.add_argument("--rehearse", action="store_true", help="run every step on next to nothing")
    given = parser.parse_args()
    commands = steps(given.work, given.out, given.device, REHEARSAL if given.rehearse else FULL)
    if given.first is not None and given.first not in commands:
        raise ConfigError(f"--from {given.first}: the steps are {', '.join(commands)}")
    given.work.mkdir(parents=True, exist_ok=True)
    shown = [f"python -m {' '.join(command)}" for command in commands.values()]
    (given.work / "recipe.json").write_text(json.dumps({"steps": shown}, indent=2) + "\n", "utf-8")
    names = list(commands)
    evaluations: list[str] = []
    for name in names[names.index(given.first or names[0]) :]:
        module, *arguments = commands[name]
        print(f"{name}: {module}", flush=True)
        measuring = name in MEASURING
        done = subprocess.run(  # noqa: S603 - our own modules
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE if measuring else None,
            text=True,
        )
        if done.returncode != 0:
            return done.returncode
        if measuring:
            evaluations += done.stdout.splitlines()
            figures = {"evaluations": [json.loads(line) for line in evaluations]}
            (given.work / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
