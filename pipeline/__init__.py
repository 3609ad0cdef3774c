"""voicemill: a manifest of (reference audio, text) rows in, scored cloned speech out."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["read_results"]


def __getattr__(name: str) -> object:
    # on demand: `import pipeline` alone stays light
    if name == "read_results":
        from pipeline.results import read_results

        return read_results
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
