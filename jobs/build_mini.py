"""Build voicemill-mini from nothing: corpus, codec, samples, model, figures, release. Needs flite.

python -m jobs.build_mini WORK OUT [--device cuda] [--from STEP]

Everything between is in WORK, and every step goes on where it stopped: the same command resumes. On two
CPU cores it takes a day, on a large GPU less than an hour but for the corpus, which is CPU work anyway.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from pipeline.errors import ConfigError

CODEBOOKS = 6
CORPUS_ROUNDS = 5
CODEC_STEPS, CODEC_DECAY = 20_000, 2_000
MODEL_STEPS, MODEL_DECAY = 30_000, 6_000
LEARNING_RATE = 2e-3
DROP_CODES = 0.35  # or the codes alone carry the voice, and the semantic pathway learns nothing
ABLATIONS = ("no_semantic", "no_codes", "no_reference", "other_codes", "no_audio_ffn", "no_delay")
MEASURING = ("teacher", "quality", "ablations")  # they print a JSON line for each figure
SENTENCES, MANIFEST, ROWS = "manifests/held_out_sentences.txt", "manifests/held_out.csv", 200


def steps(work: Path, out: Path, device: str) -> dict[str, list[str]]:
    """The commands by name, in order: modules and their arguments."""
    corpus, samples, codec, model = (str(work / name) for name in ("corpus", "samples", "codec", "model"))
    codes = f"{codec}/final"
    on = ["--device", device]
    evaluate = ["jobs.evaluate_mini", f"{model}/final", MANIFEST, "--codec", codes]
    evaluate += ["--rows", str(ROWS), *on]
    return {
        "corpus": ["jobs.synthesize_corpus", corpus, "--rounds", str(CORPUS_ROUNDS)],
        "codec": [
            *("jobs.train_codec", corpus, codec, "--steps", str(CODEC_STEPS)),
            *("--decay-steps", str(CODEC_DECAY), "--codebooks", str(CODEBOOKS), "--export", codes, *on),
        ],
        "samples": ["jobs.pack_corpus", corpus, codes, samples],
        "model": [
            *("jobs.train_model", samples, model, "--codebooks", str(CODEBOOKS)),
            *("--steps", str(MODEL_STEPS), "--decay-steps", str(MODEL_DECAY)),
            *("--learning-rate", str(LEARNING_RATE), "--drop-codes", str(DROP_CODES)),
            *("--export", f"{model}/final", *on),
        ],
        "teacher": ["jobs.held_out_set", SENTENCES, MANIFEST, "--codec", codes],
        "quality": [*evaluate, "--best-of", "4"],
        "ablations": [*evaluate, "--ablation", *ABLATIONS],
        "release": [
            *("jobs.release_mini", f"{model}/final", codes, str(out)),
            *("--figures", str(work / "figures.json"), "--recipe", str(work / "recipe.json")),
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.build_mini")
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--from", dest="first", help="leave out the steps before this one")
    given = parser.parse_args()
    commands = steps(given.work, given.out, given.device)
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
    from pipeline.cli import reported

    sys.exit(reported(main))
