"""What Ray reads from the environment when it is imported. Whatever imports ray imports this before it."""

from __future__ import annotations

import os
import sys

# Without this it rebuilds the environment for its workers under `uv run`, and they lack ray.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
if not os.environ.get("RAY_ADDRESS"):  # `RAY_ADDRESS=` of a unit file means none
    os.environ.pop("RAY_ADDRESS", None)
if "ray" not in sys.modules and "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ side writes past Python's logging
