"""voicemill: a manifest of (reference audio, text) rows in, scored cloned speech out."""

from __future__ import annotations

__version__ = "0.1.0"
