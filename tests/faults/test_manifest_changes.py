"""What happens to a manifest between two runs into one folder, and what is wrong with it from the start."""

from __future__ import annotations

from pathlib import Path

import pytest
from invariants import check_finished, check_idle, committed_rows, objects
from small_run import IDS, VOICES, write_manifest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.mark.case(
    fault="the manifest comes back in another order", expect="the same rows; nothing to do", holds="I1 I4"
)
def test_reordered_on_resume(drivers, manifest, undisturbed, tmp_path):
    out = str(tmp_path / "run")
    drivers.run(manifest, out, moment=(12, "after", "kill"))
    other = tmp_path / "other.csv"
    head, *lines = Path(manifest).read_text().splitlines()
    other.write_text("\n".join([head, *reversed(lines)]) + "\n")
    check_finished(out, drivers.run(str(other), out), codes=undisturbed)
    check_idle(out, lambda: drivers.run(manifest, out))


@pytest.mark.case(
    fault="the manifest has grown, twice, once of a finished run",
    expect="the new rows are done, the old commits stay as they are",
    holds="I1 I2 I4",
)
def test_grown_on_resume(drivers, undisturbed, tmp_path):
    out, growing = str(tmp_path / "run"), tmp_path / "growing.csv"
    more = [*IDS, "v1", "v2", "v3"]
    drivers.run(write_manifest(growing, IDS[:3]), out, moment=(12, "after", "kill"))
    heard = check_finished(out, drivers.run(write_manifest(growing, IDS), out))
    # shards differ from those of the undisturbed run, and a row's codes may depend on nothing but the row
    assert heard == undisturbed
    before = objects(out)
    heard = check_finished(out, drivers.run(write_manifest(growing, more), out), ids=more)
    assert {name: heard[name] for name in IDS} == undisturbed
    after = objects(out)
    assert all(after[key] == data for key, data in before.items() if key.startswith(("commit/", "data/")))
    check_idle(out, lambda: drivers.run(str(growing), out))


@pytest.mark.case(
    fault="byte-order mark, bad UTF-8, a field of 2 MB, an id given twice, an id given twice with other text",
    expect="each is its own row's fault; the others are spoken",
    holds="I1 I2 I3",
)
def test_a_bad_manifest(drivers, undisturbed, tmp_path):
    out, path = str(tmp_path / "run"), tmp_path / "bad.csv"
    voice = str(VOICES / "slt-1.flac").encode()
    rows = [
        b"\xef\xbb\xbfid,ref,ref_text,text,max_duration_s",
        b"u0," + voice + b",A voice.,Sentence u0.,0.4",
        b"latin," + voice + b",A voice.,caf\xe9,0.4",
        b"huge," + voice + b",A voice.," + b"a" * 2_000_000 + b",0.4",
        b"u0," + voice + b",A voice.,Sentence u0.,0.4",
        b"u0," + voice + b",A voice.,Another sentence.,0.4",
        b"u2," + voice + b",A voice.,Sentence u2.,0.4",
    ]
    path.write_bytes(b"\n".join(rows) + b"\n")
    ended = drivers.run(str(path), out)
    stored = objects(out)
    done = {row["row"]: (row["status"], row["error_code"]) for row in committed_rows(stored)}
    assert {number for number, (status, _) in done.items() if status == "ok"} == {1, 6}
    assert done.keys() == set(range(1, 7))
    assert ended.code == 1
    assert done[2][1] == "bad_encoding"
    assert done[4][1] == done[5][1] == "duplicate_id"
    heard = {
        row["utterance_id"]: row["codes_sha256"] for row in committed_rows(stored) if row["status"] == "ok"
    }
    assert heard == {name: undisturbed[name] for name in ("u0", "u2")}
    check_idle(out, lambda: drivers.run(str(path), out))
