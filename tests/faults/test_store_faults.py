"""An object store that answers badly, late or not at all, behind a proxy that breaks its answers."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from urllib.parse import urlsplit

import boto3
import pytest
from fault_proxy import Fault, FaultProxy
from invariants import check_broken_off, check_finished, check_idle, check_no_secrets
from small_run import PATIENCE_S
from stores import ceph_rgw

from pipeline import storage
from pipeline.errors import StorageError
from pipeline.storage import open_store

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
LIVED_THROUGH = {
    "503 SlowDown four times": Fault(503, ("PUT",), times=4, spare=6, code=b"SlowDown"),
    "500 five times on reads": Fault(500, ("GET", "HEAD"), times=5, spare=10),
    "reset before three writes": Fault("reset_before", ("PUT",), times=3, spare=8),
    "reset after the first commit": Fault("reset_after", ("PUT",), path="/run/commit/", times=1),
    "reset after every commit, once": Fault("reset_after", ("PUT",), path="commit/", times=8),
    "reset after run.json": Fault("reset_after", ("PUT",), path="/run/run.json", times=1),
    "reset after the plan": Fault("reset_after", ("PUT",), path="/run/plan/", times=1),
    "reset after _SUCCESS": Fault("reset_after", ("PUT",), path="/run/_SUCCESS", times=1),
    "reset after the lease": Fault("reset_after", ("PUT",), path="/run/driver.json", times=1),
    "two answers cut in half": Fault("truncate", ("GET",), path="/data/", times=2),
    "a connection that hangs": Fault("hang", ("PUT",), path="/data/", times=1, spare=1, seconds=20),
}
SERVERS = ["moto", "ceph"]


@pytest.fixture(scope="module", params=SERVERS)
def server(request, tmp_path_factory):
    """An endpoint, with the environment that leads every client to it."""
    if request.param == "moto":
        yield request.getfixturevalue("s3_endpoint")
        return
    with ceph_rgw() as (endpoint, keys), pytest.MonkeyPatch.context() as patch:
        for name, value in {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1", **keys}.items():
            patch.setenv(name, value)
        storage._connected.cache_clear()
        yield endpoint
    storage._connected.cache_clear()


@pytest.fixture
def bucket(server):
    name = f"faults-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=server).create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture
def proxy(server):
    with FaultProxy(urlsplit(server).netloc) as proxy:
        yield proxy


@pytest.fixture
def through_proxy(proxy):
    """What leads a driver to the proxy, and only it; a hung connection costs it a second."""
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    return {
        "env": {name: os.environ[name] for name in names} | {"AWS_ENDPOINT_URL_S3": proxy.address},
        "read_timeout_s": 1,
    }


@pytest.mark.parametrize("name", LIVED_THROUGH)
@pytest.mark.case(fault="the store", expect="the run does not notice", holds="I1-I7")
def test_a_fault_that_passes(drivers, manifest, undisturbed, bucket, proxy, through_proxy, name):
    out = f"{bucket}/runs/run"
    proxy.fault = replace(LIVED_THROUGH[name], hits=[])
    ended = drivers.run(manifest, out, **through_proxy)
    assert len(proxy.fault.hits) == proxy.fault.times, "the fault did not come to pass"
    assert ended.seconds < PATIENCE_S, "I6"
    check_finished(out, ended, codes=undisturbed)
    proxy.fault = None
    check_idle(out, lambda: drivers.run(manifest, out, **through_proxy))


@pytest.mark.parametrize(
    ("spare", "path"), [(0, "/run/run.json"), (1, "/samples/data/"), (1, "/run/data/"), (1, "/run/commit/")]
)
@pytest.mark.case(
    fault="403 from one write on, as with credentials that have expired",
    expect="one line that names the key, exit 3, no retries; a rerun finishes",
    holds="I1-I7",
)
def test_denied_in_mid_run(drivers, manifest, undisturbed, bucket, proxy, through_proxy, spare, path):
    out = f"{bucket}/runs/run"
    proxy.fault = Fault(
        403, ("PUT", "GET", "HEAD"), path=path, times=10**6, spare=spare, code=b"ExpiredToken"
    )
    ended = drivers.run(manifest, out, **through_proxy)
    assert ended.code == 3, ended.said[-1000:]
    last = ended.said.strip().splitlines()[-1]
    assert last.startswith(f"voicemill: {bucket}/runs")
    assert path.removeprefix("/run/") in last
    assert "PermissionError" in last
    assert "check credentials and permissions" in last
    assert len(proxy.fault.hits) <= 4, "what is denied is not asked for again and again"
    check_broken_off(out, ended)
    proxy.fault = None
    ended = drivers.run(manifest, out, **through_proxy)
    check_finished(out, ended, codes=undisturbed)


@pytest.mark.case(
    fault="a store that answers nothing but 503",
    expect="a StorageError after 8 tries, no secret",
    holds="I6 I7",
)
def test_down_for_good(bucket, proxy, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.address)
    # botocore's waits between tries are random, up to a minute in all: not the point here
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    storage._connected.cache_clear()
    proxy.fault = Fault(503, times=10**6, code=b"ServiceUnavailable")
    with pytest.raises(StorageError, match=rf"^{bucket}/run/a: .*see that it can be reached") as caught:
        open_store(f"{bucket}/run").put("a", b"1")
    assert len(proxy.fault.hits) == storage._S3_ATTEMPTS
    check_no_secrets(str(caught.value))
    storage._connected.cache_clear()


@pytest.mark.case(
    fault="a store that takes connections and never answers",
    expect="a StorageError at the deadline of the operation",
    holds="I6",
)
def test_hangs_for_good(bucket, proxy, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.address)
    monkeypatch.setattr(storage, "_OPERATION_S", 2)
    storage._connected.cache_clear()
    proxy.fault = Fault("hang", times=10**6, seconds=30)
    for act in (lambda s: s.get("a"), lambda s: s.put("a", b"1"), lambda s: s.create("a", b"1"),
                lambda s: s.size("a"), lambda s: s.modified("a"), lambda s: s.delete("a"),
                lambda s: list(s.list())):  # fmt: skip
        with pytest.raises(StorageError, match=r"no answer in time; see that it can be reached"):
            act(open_store(f"{bucket}/run"))
    storage._connected.cache_clear()
