from __future__ import annotations

import pytest

from pipeline.errors import CheckpointError, EngineFatalError, StorageError, some_of, worker_error


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "Traceback\n  File 'x'\npipeline.errors.CheckpointError: no such codec; do this\nUDF failed",
            CheckpointError,
            "no such codec; do this",
        ),
        ("pipeline.storage.ObjectMissing: s3://a: gone", StorageError, "s3://a: gone"),
        ("Traceback\nKeyError: 'codes'\nUDF failed", EngineFatalError, "a worker failed (KeyError: 'codes')"),
        ("The actor died", EngineFatalError, "a worker failed (The actor died)"),
    ],
)
def test_worker_errors_are_read_from_tracebacks(text: str, kind: type[Exception], message: str) -> None:
    error = worker_error(text)
    assert type(error) is kind
    assert str(error).startswith(message)


def test_the_first_names_and_how_many_more() -> None:
    assert some_of([]) == ""
    assert some_of("abcde") == "a, b, c, d, e"
    assert some_of("abcdefg") == "a, b, c, d, e and 2 more"
