#!/usr/bin/env bash
# Writes the versions of the current environment into pyproject.toml as uv constraints, so that a fresh
# install next year resolves to what was tested. Run it after `uv lock --upgrade && make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
"${UV:-uv}" pip freeze --exclude-editable | python3 -c '
import re, sys
pins = "".join(f"    \"{line.strip()}\",\n" for line in sys.stdin if "==" in line)
text = open("pyproject.toml").read()
block = re.compile(r"constraint-dependencies = \[.*?\]\n", re.S)
assert block.search(text), "pyproject.toml has no constraint-dependencies"
open("pyproject.toml", "w").write(block.sub(lambda _: f"constraint-dependencies = [\n{pins}]\n", text))
'
