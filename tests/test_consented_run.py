"""A consent that is withdrawn while a run is under way, and what every clip says of its making."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from in_process import without_ray
from manifest_faults import write_csv
from rich.console import Console

from jobs.clone_voices import clone_voices, resume
from pipeline import read_results
from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.provenance import comments_of

VOICES = Path(__file__).parents[1] / "manifests" / "voices"


def test_a_consent_withdrawn_between_packing_and_speaking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch.setattr)
    revoked = tmp_path / "revoked.txt"
    revoked.write_text("# nobody yet\n")
    row = {"ref": str(VOICES / "slt-1.flac"), "ref_text": "x", "text": "Hello."}
    manifest = write_csv(
        tmp_path / "m.csv",
        [
            {"id": "kept", "consent_id": "c-1", **row},
            {"id": "withdrawn", "consent_id": "c-2", **row},
            {"id": "without", "consent_id": "", **row},
        ],
    )
    out = str(tmp_path / "run")
    config = load_config(
        None,
        ["model.checkpoint=standin", "resources.num_cpus=2", "consent.required=true", f"consent.revoked={revoked}",
         "evaluation.transcriber=none", "evaluation.speaker_encoder=none"],
    )  # fmt: skip
    console = Console(file=io.StringIO())
    assert clone_voices(manifest, out, config, console, until="samples") == {"rows": 3, "failed": 1}

    revoked.unlink()
    with pytest.raises(ConfigError, match="nothing is spoken"):
        resume(out, config, console)
    assert read_results(out).num_rows == 0

    revoked.write_text("C-2  # by letter of 20 November\n")
    resume(out, config, console)
    rows = {row["utterance_id"]: row for row in read_results(out).to_pylist()}
    assert {name: (r["error_code"], r["consent_id"]) for name, r in rows.items()} == {
        "kept": (None, "c-1"),
        "withdrawn": ("consent_revoked", "c-2"),
        "without": ("consent_missing", None),
    }
    assert rows["withdrawn"]["audio"] is None
    assert rows["withdrawn"]["codes"] is None
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    comments = comments_of(rows["kept"]["audio"]["bytes"])
    assert comments["RUN"] == record["fingerprint"]
    assert comments["MODEL"] == record["identity"]["model"]
    assert (comments["SYNTHETIC"], comments["UTTERANCE_ID"]) == ("true", "kept")
