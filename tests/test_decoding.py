"""Decoders that crash, hang, print and eat memory: the row fails, the caller and its next rows do not.

libsndfile cannot be made to crash at will, so the worker of these tests has a decoder that does as the
file says; its limits, pipes and end are the real ones.
"""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipeline import decoding
from pipeline.audio import decode_audio
from pipeline.decoding import DecoderPool, decode_untrusted
from pipeline.errors import EngineFatalError, RowError

VOICES = sorted((Path(__file__).parents[1] / "manifests" / "voices").glob("*.flac"))
OBEDIENT = """
import os, sys, time
import numpy as np
from pipeline import decoding_worker as worker
from pipeline.audio import decode_audio
from pipeline.errors import RowError

def obey(data, *, max_duration_s):
    command = data.decode("latin-1")
    if command == "crash":
        os.abort()
    elif command == "exit":
        os._exit(7)
    elif command == "spin":
        while True:
            pass
    elif command == "hang":
        time.sleep(3600)
    elif command == "eat":
        return [np.ones(2**22) for _ in range(100)]
    elif command == "print":
        print("here is what I found", flush=True)
        os.write(1, b"on the way")
    elif command == "environment":
        raise RowError("environment", " ".join(sorted(os.environ)))
    elif command == "lie":
        os.write(answers, b"W" + b"\\xff" * 12)
    elif command == "write":
        with open(sys.argv[1], "wb") as file:
            file.write(b"x")
    return decode_audio(real, max_duration_s=max_duration_s)

real = open(sys.argv[2], "rb").read()
answers = 3  # the copy of standard output that main() makes
worker.decode_audio = obey
worker.cpu_seconds = lambda _: 1
worker.MEMORY_BYTES = 2**28
worker.main()
"""


def file_of(samples: np.ndarray, rate: int = 16_000, **kind: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **({"format": "WAV", "subtype": "FLOAT"} | kind))
    return buffer.getvalue()


@pytest.fixture(scope="module", autouse=True)
def ended_at_the_end() -> Iterator[None]:
    yield
    decoding._pool(os.getpid()).close()


@pytest.fixture
def obedient(tmp_path: Path) -> Iterator[Callable[[str], object]]:
    command = (sys.executable, "-P", "-c", OBEDIENT, str(tmp_path / "written"), str(VOICES[0]))
    pool = DecoderPool(1, command)
    yield lambda order: pool.decode(order.encode(), 30.0)
    pool.close()


@pytest.mark.parametrize("path", VOICES, ids=lambda path: path.stem)
def test_the_same_samples_as_without_a_process_of_its_own(path: Path) -> None:
    data = path.read_bytes()
    here, there = decode_audio(data, max_duration_s=30.0), decode_untrusted(data, 30.0)
    assert here.sample_rate == there.sample_rate
    assert np.array_equal(here.samples, there.samples)
    assert there.samples.dtype == np.float32
    assert there.samples.flags.writeable


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "audio_empty"),
        (b"<html>404 Not Found</html>" * 20, "audio_unreadable"),
        (VOICES[0].read_bytes()[:40], "audio_unreadable"),
        (VOICES[0].read_bytes()[: VOICES[0].stat().st_size // 2], "audio_unreadable"),
        (file_of(np.zeros((0, 1))), "audio_empty"),
        (file_of(np.zeros((100, 9))), "audio_too_many_channels"),
        (file_of(np.zeros(31 * 16_000)), "audio_too_long"),
        (file_of(np.zeros(100), rate=2_000_000_000), "audio_odd_sample_rate"),
    ],
    ids=[
        "nothing",
        "a page",
        "a header cut off",
        "half a FLAC",
        "no samples",
        "nine channels",
        "31 s",
        "2 GHz",
    ],
)
def test_faults_of_files_come_back_as_they_are(data: bytes, code: str) -> None:
    with pytest.raises(RowError) as caught:
        decode_untrusted(data, 30.0)
    assert caught.value.code == code


def other_formats() -> list[bytes]:
    samples = decode_audio(VOICES[0].read_bytes()).samples[:16_000]
    kinds = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
             ("AIFF", "PCM_24"), ("AU", "ULAW"), ("CAF", "ALAC_16")]  # fmt: skip
    return [file_of(samples, format=name, subtype=subtype) for name, subtype in kinds]


FORMATS = other_formats()


@settings(max_examples=150)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=20),
    st.floats(0, 1),
)
def test_damaged_files_are_faults_or_audio(file: bytes, damage: list[tuple[float, int]], kept: float) -> None:
    data = bytearray(file)
    for place, value in damage:
        # a third of it falls on the header, where it hurts
        data[int(place * (len(data) - 1)) if place > 1 / 3 else int(place * 300)] = value
    try:
        waveform = decode_untrusted(bytes(data[: max(100, int(kept * 2 * len(data)))]), 30.0)
    except RowError as error:
        event(error.code)
    else:
        assert 0 < waveform.duration_s <= 30.0
        assert waveform.samples.ndim == 1


def test_three_hours_in_two_megabytes_are_not_unpacked() -> None:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 16_000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(180):
            file.write(np.zeros(16_000 * 60, np.int16))
    data = buffer.getvalue()
    assert len(data) < 2_000_000
    with pytest.raises(RowError) as caught:
        decode_untrusted(data, 30.0)
    assert caught.value.code == "audio_too_long"


def test_nan_and_eight_channels_pass_through_for_the_checks_to_judge() -> None:
    samples = np.full((100, 8), 0.5)
    samples[7, 3] = np.nan
    waveform = decode_untrusted(file_of(samples), 30.0)
    assert np.isnan(waveform.samples[7])
    assert np.isfinite(np.delete(waveform.samples, 7)).all()


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("crash", "SIGABRT"),
        ("exit", "exit code 7"),
        ("spin", "too much processor time"),
        ("eat", "needs more than 256 MiB"),
        ("lie", "it answered nonsense"),
    ],
)
def test_what_a_file_does_to_its_decoder_is_its_own_fault(obedient, order: str, said: str) -> None:
    with pytest.raises(RowError, match=said) as caught:
        obedient(order)
    assert caught.value.code == "audio_decoder_died"
    assert obedient("decode").sample_rate == 16_000, "the next clip finds a decoder"


def test_a_decoder_that_hangs_is_ended(obedient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_WALL_FACTOR", 0.001)
    with pytest.raises(RowError, match="took too long") as caught:
        obedient("hang")
    assert caught.value.code == "audio_decoder_died"
    monkeypatch.undo()
    assert obedient("decode").sample_rate == 16_000


def test_what_a_library_prints_is_no_answer(obedient) -> None:
    assert np.array_equal(obedient("print").samples, decode_audio(VOICES[0].read_bytes()).samples)


def test_the_decoder_has_no_credentials(obedient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "hush")
    with pytest.raises(RowError) as caught:
        obedient("environment")
    kept = set(caught.value.message.split())
    assert kept <= {"PYTHONPATH", "OPENBLAS_NUM_THREADS", "LC_CTYPE", *decoding._KEPT_VARIABLES}


def test_the_decoder_writes_no_files(obedient, tmp_path: Path) -> None:
    with pytest.raises(RowError, match="exit code 1"):
        obedient("write")
    assert (tmp_path / "written").read_bytes() == b""


def test_a_worker_that_was_killed_from_outside_is_replaced_and_the_clip_decoded() -> None:
    pool = DecoderPool(1)
    data = VOICES[0].read_bytes()
    pool.decode(data, 30.0)
    worker = pool._idle.get()
    worker._process.kill()
    worker._process.wait()
    pool._idle.put(worker)
    assert pool.decode(data, 30.0).sample_rate == 16_000
    pool.close()


def test_threads_have_decoders_of_their_own() -> None:
    pool = DecoderPool(2)
    wholes = [decode_audio(path.read_bytes()).samples for path in VOICES]
    wrong: list[str] = []

    def decode() -> None:
        for path, whole in zip(VOICES, wholes, strict=True):
            if not np.array_equal(pool.decode(path.read_bytes(), 30.0).samples, whole):
                wrong.append(path.name)

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()
    assert wrong == []


def test_a_decoder_that_does_not_start_is_no_fault_of_a_row() -> None:
    pool = DecoderPool(1, (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(EngineFatalError, match="does not start"):
        pool.decode(b"x", 30.0)
    pool.close()


def test_workers_end_with_the_process_that_started_them() -> None:
    script = (
        "import os\nfrom pipeline import decoding\n"
        f"decoding.decode_untrusted(open({str(VOICES[0])!r}, 'rb').read(), 30.0)\n"
        "worker = decoding._pool(os.getpid())._idle.get()\nprint(worker._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    try:
        worker = os.pidfd_open(int(done.stdout))
    except ProcessLookupError:
        return
    assert select.select([worker], [], [], 60)[0], "it reads the end of its requests, and ends"
    os.close(worker)
