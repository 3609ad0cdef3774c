"""The HTML itself. Text is escaped by the template; the rows travel as JSON that no tag can end."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

# parts of one function, in this order
_SCRIPTS = ("basics.js", "player.js", "card.js", "page.js")
MARK = "<!doctype html><!-- voicemill report -->"
# in a <script>, an HTML parser looks for these whatever the JSON around them says
_UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def render(values: Mapping[str, Any], data: Any, *, linked: bool) -> bytes:
    """The page: the template's `values`, and the `data` that its script reads.

    Its Content-Security-Policy allows this very style and script by their hashes and no connection to
    anywhere; `linked` lets players open files from where the page itself lies.
    """
    css, js = _file("page.css"), _script()
    media = "blob: 'self' file:" if linked else "blob:"
    policy = (
        f"default-src 'none'; script-src '{_hash(js)}'; style-src '{_hash(css)}'; img-src data:; "
        f"media-src {media}; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(_file("page.html")).render(
        values, mark=MARK, policy=policy, css=css, js=js, data=script_json(data)
    )
    return page.encode()


def script_json(value: Any) -> str:
    """JSON that may stand inside of a `<script>` element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_UNSAFE)


def _script() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(map(_file, _SCRIPTS)) + "})();\n"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _file(name: str) -> str:
    return (files("pipeline.report") / name).read_text(encoding="utf-8")
