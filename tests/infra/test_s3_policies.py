"""The bucket policies: what each role may, by AWS's evaluation rules, and the pipeline's own calls under them.

The evaluator below follows "Policy evaluation logic" of the IAM user guide for what the policies use. moto's
own one judges the second part; it knows no conditions but principals, so there the Allow statements stand alone.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from test_withdrawal import run_of

from pipeline.commit import ShardLog
from pipeline.destination import open_run_folder
from pipeline.errors import StorageError
from pipeline.garbage import collect_garbage
from pipeline.lease import Lease
from pipeline.storage import open_store
from pipeline.withdrawal import find_withdrawn, remove_withdrawn

FOLDER = Path(__file__).parents[2] / "infra" / "s3"
ROLES = ("input-reader", "run-writer", "garbage-collector", "withdrawer")
RUN = "voicemill-runs/runs/night/2026-11-22"
CREATE_ONCE = {"s3:if-none-match": "*"}


def policy(role: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / f"policy-{role}.json").read_text())
    return read


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def like(pattern: str, text: str) -> bool:
    """`*` any characters, `/` among them; `?` one."""
    parts = [{"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern]
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def holds(operator: str, key: str, wanted: Any, context: dict[str, str]) -> bool:
    if operator == "Null":
        return (key not in context) is (wanted == "true")
    if key not in context:  # of the operators here, none is true of a key that is not there
        return False
    test = {"StringLike": like, "Bool": lambda want, has: want == has}[operator]
    return any(test(one, context[key]) for one in listed(wanted))


def allowed(role: str, action: str, resource: str, context: dict[str, str]) -> bool:
    """An explicit Deny beats every Allow; what nobody allows is denied."""
    effects = set()
    for statement in policy(role)["Statement"]:
        conditions = statement.get("Condition", {})
        if (
            any(like(one, action) for one in listed(statement["Action"]))
            and any(like(one, f"arn:aws:s3:::{resource}") for one in listed(statement["Resource"]))
            and all(holds(op, k, v, context) for op, keys in conditions.items() for k, v in keys.items())
        ):
            effects.add(statement["Effect"])
    return effects == {"Allow"}


CASES = [
    # role, action, bucket/key, context, whether
    ("input-reader", "GetObject", "voicemill-inputs/voices/anna.flac", {}, True),
    ("input-reader", "GetObject", "voicemill-inputs/manifests/m.csv", {}, True),
    ("input-reader", "GetObject", "voicemill-inputs/secrets/key", {}, False),
    ("input-reader", "ListBucket", "voicemill-inputs", {"s3:prefix": "voices/"}, True),
    ("input-reader", "ListBucket", "voicemill-inputs", {"s3:prefix": "secrets/"}, False),
    ("input-reader", "ListBucket", "voicemill-inputs", {}, False),
    ("input-reader", "PutObject", "voicemill-inputs/voices/anna.flac", {}, False),
    ("input-reader", "DeleteObject", "voicemill-inputs/voices/anna.flac", {}, False),
    ("input-reader", "GetObject", f"{RUN}/data/00000/x.parquet", {}, False),
    ("run-writer", "GetObject", f"{RUN}/commit/00000.json", {}, True),
    ("run-writer", "ListBucket", "voicemill-runs", {"s3:prefix": "runs/night"}, True),
    ("run-writer", "PutObject", f"{RUN}/data/00000/x.parquet", {}, True),
    ("run-writer", "PutObject", f"{RUN}/summary.json", {}, True),
    ("run-writer", "PutObject", "voicemill-runs/runs/.prompt-cache/abc/def.parquet", {}, True),
    ("run-writer", "PutObject", "voicemill-runs/elsewhere", {}, False),
    *(
        ("run-writer", "PutObject", f"{RUN}/{key}", context, may)
        for key in (
            *("commit/00000.json", "samples/commit/00000.json", "takes/1/commit/00000.json"),
            *("rejected/commit/00000.json", "plan/00000.parquet", "run.json", "engine.json"),
            *("caches/0123456789abcdef", "_SUCCESS"),
        )
        for context, may in ((CREATE_ONCE, True), ({}, False))
    ),
    *(
        ("run-writer", "DeleteObject", f"{RUN}/{key}", {}, may)
        for key, may in (
            ("commit/00000.json", False),
            ("samples/commit/00000.json", False),
            ("samples/00000.parquet", False),
            ("rejected/commit/00000.json", False),
            ("plan/00000.parquet", False),
            ("run.json", False),
            ("summary.json", False),
            ("audio/u1.flac", False),
            ("data/00000/x.parquet", True),  # the loser of two attempts
            ("takes/1/commit/00000.json", True),  # takes of a run that is whole
            ("attempts/Speak/00000/shard/0", True),
            ("driver.json", True),
            ("_SUCCESS", True),  # the manifest has grown
            ("trial/0123", True),
        )
    ),
    ("run-writer", "GetObject", "voicemill-inputs/voices/anna.flac", {}, False),
    ("run-writer", "DeleteBucket", "voicemill-runs", {}, False),
    ("run-writer", "PutBucketPolicy", "voicemill-runs", {}, False),
    ("run-writer", "DeleteObjectVersion", f"{RUN}/data/00000/x.parquet", {}, False),
    ("run-writer", "PutObjectAcl", f"{RUN}/data/00000/x.parquet", {}, False),
    ("garbage-collector", "GetObject", f"{RUN}/commit/00000.json", {}, True),
    ("garbage-collector", "DeleteObject", f"{RUN}/data/00000/x.parquet", {}, True),
    ("garbage-collector", "DeleteObject", f"{RUN}/takes/1/samples/data/00000/x.parquet", {}, True),
    ("garbage-collector", "DeleteObject", f"{RUN}/takes/1/attempts/Speak/00000/shard/0", {}, True),
    ("garbage-collector", "DeleteObject", f"{RUN}/commit/00000.json", {}, False),
    ("garbage-collector", "DeleteObject", f"{RUN}/plan/00000.parquet", {}, False),
    ("garbage-collector", "PutObject", f"{RUN}/data/00000/x.parquet", {}, True),  # back, if committed since
    ("garbage-collector", "PutObject", f"{RUN}/plan/00000.parquet", {}, False),
    ("garbage-collector", "PutObject", f"{RUN}/commit/00000.json", CREATE_ONCE, False),
    ("garbage-collector", "PutObject", f"{RUN}/trial/0123", CREATE_ONCE, True),
    ("withdrawer", "PutObject", f"{RUN}/commit/00000.json", {}, True),
    ("withdrawer", "PutObject", f"{RUN}/plan/00000.parquet", {}, False),
    ("withdrawer", "PutObject", f"{RUN}/run.json", {}, False),
    *(
        ("withdrawer", "DeleteObject", f"{RUN}/{key}", {}, may)
        for key, may in (
            ("rejected/data/00000/x.parquet", True),
            ("rejected/audio/u1.flac", True),
            ("commit/00000.json", False),
            ("plan/00000.parquet", False),
            ("summary.json", False),
            ("_SUCCESS", False),
        )
    ),
    ("withdrawer", "DeleteObject", "voicemill-runs/runs/.prompt-cache/abc/def.parquet", {}, True),
    ("withdrawer", "DeleteObject", "voicemill-inputs/voices/anna.flac", {}, False),
]


@pytest.mark.parametrize(("role", "action", "resource", "context", "may"), CASES)
def test_who_may_what(role: str, action: str, resource: str, context: dict[str, str], may: bool) -> None:
    assert allowed(role, f"s3:{action}", resource, {"aws:SecureTransport": "true"} | context) is may
    assert not allowed(role, f"s3:{action}", resource, {"aws:SecureTransport": "false"} | context)


@pytest.mark.parametrize("role", ROLES)
def test_no_wildcard_is_allowed(role: str) -> None:
    for statement in policy(role)["Statement"]:
        if statement["Effect"] == "Allow":
            assert not [action for action in listed(statement["Action"]) if "*" in action]
            assert not [arn for arn in listed(statement["Resource"]) if arn.startswith("arn:aws:s3:::*")]


def test_uploads_that_were_broken_off_do_not_stay(s3: str, s3_endpoint: str) -> None:
    import boto3

    rules = json.loads((FOLDER / "lifecycle.json").read_text())
    client, bucket = boto3.client("s3", endpoint_url=s3_endpoint), s3.removeprefix("s3://")
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)
    stored = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    [abort] = [rule["AbortIncompleteMultipartUpload"] for rule in stored if rule["ID"].startswith("abort")]
    assert abort == {"DaysAfterInitiation": 2}


@pytest.fixture
def as_role(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch):
    """`as_role(name)`: from here on every request is signed by a user with that policy, and moto enforces it."""
    import boto3
    from moto import settings
    from moto.core.responses import ActionAuthenticatorMixin

    from pipeline import storage

    def enforce(after_requests: float) -> None:
        """The server runs in this process."""
        monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", after_requests)
        monkeypatch.setattr(ActionAuthenticatorMixin, "request_count", 0)

    s3, iam = (boto3.client(name, endpoint_url=s3_endpoint) for name in ("s3", "iam"))
    s3.create_bucket(Bucket="voicemill-runs")

    def become(role: str) -> None:
        enforce(float("inf"))
        user = f"{role}-{uuid.uuid4().hex[:8]}"
        iam.create_user(UserName=user)
        statements = [one for one in policy(role)["Statement"] if one["Effect"] == "Allow"]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName=user, PolicyName=role, PolicyDocument=document)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        storage._connected.cache_clear()
        enforce(0)

    yield become
    storage._connected.cache_clear()


def test_the_pipeline_can_work_under_its_policy(as_role) -> None:
    """Every kind of request that a run makes of its folder."""
    uri = f"s3://voicemill-runs/runs/{uuid.uuid4().hex[:8]}"
    table = pa.table({"row": [1, 2]})
    as_role("run-writer")
    store = open_run_folder(uri)
    log = ShardLog(store)
    with Lease(store, take_over=False, say=print):
        assert store.create("run.json", b"{}")
        assert store.create("plan/00000.parquet", b"planned")
        first = log.write_shard("00000", table, "first", {})
        # another attempt with other bytes loses, and takes back what it had put
        assert log.write_shard("00000", pa.table({"row": [3, 4]}), "second", {}) == first
        store.put(f"data/00000/{'0' * 64}.parquet", b"left by a third")
        assert log.remove_orphans(log.commits()) == [f"data/00000/{'0' * 64}.parquet"]
        waiting = ShardLog(store, prefix="takes/0")
        waiting.write_shard("00000", table, "first", {})
        waiting.clear()
        store.put("summary.json", b"{}")
        assert log.mark_success({"rows": 2})
        store.delete("_SUCCESS")
        store.put("attempts/Speak/00000/shard/0", b"")
        store.delete("attempts/Speak/00000/shard/0")
    assert log.read_table(first).equals(table)
    for key in ("commit/00000.json", "plan/00000.parquet", "run.json", "summary.json"):
        with pytest.raises(StorageError):
            store.delete(key)
    as_role("garbage-collector")
    assert collect_garbage(uri, 24 * 3600, delete=True) == []
    store = open_store(uri)
    store.delete(first.key)
    with pytest.raises(StorageError):
        store.delete("commit/00000.json")
    with pytest.raises(StorageError):
        store.put("summary.json", b"forged")


def test_a_withdrawal_needs_no_more_than_its_policy(as_role) -> None:
    runs = f"s3://voicemill-runs/runs/{uuid.uuid4().hex[:8]}"
    as_role("run-writer")
    run_of(open_store(f"{runs}/night"), open_store(f"{runs}/.prompt-cache"))
    as_role("withdrawer")
    store, cache = open_store(f"{runs}/night"), open_store(f"{runs}/.prompt-cache")
    with Lease(store, take_over=False, say=print):
        assert len(remove_withdrawn(store, [cache], frozenset({"c-2"})).shards) == 3
        store.put("summary.json", b"{}")
    assert not find_withdrawn(store, [cache], frozenset({"c-2"})).shards
    with pytest.raises(StorageError):
        store.delete("plan/00000.parquet")
