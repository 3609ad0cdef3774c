"""What must hold of a run's folder after any fault, read with other tools than those that wrote it.

I1  committed and quarantined ids are the manifest's ids, each once
I2  one commit per shard; the hash and the rows of its data are the commit's
I3  all audio decodes, and is as long as its row says; the codes are those of an undisturbed run
I4  running it again generates nothing and touches nothing
I5  a driver that ends without `_SUCCESS` says so by its exit code
I6  everything ends in bounded time
I7  no secret is in any log or message
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections import Counter
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import soundfile
from small_run import IDS, SECRETS

COMMIT = re.compile(r"commit/([\w-]+)\.json")


def objects(uri):
    """Every object of a folder or a bucket's prefix, by key; hidden files are not looked at."""
    if not uri.startswith("s3://"):
        top = Path(uri)
        files = (path for path in top.rglob("*") if path.is_file() and not path.name.startswith("."))
        return {path.relative_to(top).as_posix(): path.read_bytes() for path in files}
    s3, bucket, prefix = _bucket(uri)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    return {key[len(prefix) :]: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def versions(uri):
    """What changes when an object is written anew, even with the same bytes."""
    if not uri.startswith("s3://"):
        return {path: path.stat().st_mtime_ns for path in sorted(Path(uri).rglob("*")) if path.is_file()}
    s3, bucket, prefix = _bucket(uri)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {e["Key"]: (e["ETag"], e["LastModified"]) for page in pages for e in page.get("Contents", ())}


def check_finished(uri, ended, ids=IDS, bad=("broken",), codes=None):
    """I1, I2, I3, I5 and I7 of a run that has come to its end. Returns id -> hash of its codes."""
    stored = objects(uri)
    rows = committed_rows(stored)
    counts = Counter(row["utterance_id"] for row in rows)
    assert counts == Counter([*ids, *bad]), "I1: an id is missing, doubled or foreign"
    assert {row["utterance_id"] for row in rows if row["status"] == "failed"} == set(bad), "I1"
    assert len({row["row"] for row in rows}) == len(rows), "I1: two results for one row of the manifest"
    assert "_SUCCESS" in stored
    assert ended.code == (1 if bad else 0), f"I5: {ended.code}: {ended.said[-1000:]}"
    said = json.loads(stored["_SUCCESS"])
    commits = [key for key in stored if COMMIT.fullmatch(key)]
    assert said == {"shards": len(commits), "rows": len(rows)}
    if "nothing to do" not in ended.said:  # the one before it died after its last commit, then
        assert "driver.json" not in stored, "a driver that has ended still holds its lease"
    heard = {row["utterance_id"]: _listened(row) for row in rows if row["status"] == "ok"}
    assert heard.keys() == set(ids)
    if codes is not None:
        assert heard == codes, "I3: not the codes of an undisturbed run"
    check_no_secrets(ended.said)
    return heard


def committed_rows(stored):
    """I2; the rows of all committed shards."""
    rows = []
    for key, record in stored.items():
        if (named := COMMIT.fullmatch(key)) is None:
            continue
        commit = json.loads(record)
        data = stored[commit["key"]]
        assert commit["shard"] == named[1], "I2"
        assert hashlib.sha256(data).hexdigest() == commit["sha256"], "I2: not what was committed"
        table = pq.read_table(io.BytesIO(data))
        assert (table.num_rows, len(data)) == (commit["rows"], commit["bytes"]), "I2"
        assert set(table["shard"].to_pylist()) <= {named[1]}, "I2: a row of another shard"
        rows += table.to_pylist()
    return rows


def check_broken_off(uri, ended):
    """I2, I5 and I7 of a run whose driver ended early: what is committed is whole."""
    stored = objects(uri)
    committed_rows(stored)
    assert ended.code not in (0, 1), f"I5: {ended.said[-1000:]}"
    check_no_secrets(ended.said)


def check_idle(uri, run_again):
    """I4."""
    before = versions(uri)
    ended = run_again()
    assert "nothing to do" in ended.said, ended.said[-1000:]
    assert versions(uri) == before, "I4: an object was written again"


def check_no_secrets(said):
    assert not any(secret in said for secret in SECRETS), "I7"


def _listened(row):
    samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    assert (len(samples), rate) == (row["num_samples"], row["sample_rate"]), "I3"
    assert hashlib.sha256(row["codes"]).hexdigest() == row["codes_sha256"], "I3"
    return row["codes_sha256"]


def _bucket(uri):
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    return boto3.client("s3", endpoint_url=endpoint), bucket, f"{prefix}/" if prefix else ""
