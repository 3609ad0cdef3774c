"""How long a report takes to open and to be heard: one JSON line per opening, in a headless Chromium.

    python tests/benchmarks/open_report.py [ROWS [OPENINGS]]

Makes a run of ROWS (2,000) rows with a second or so of real FLAC each and some of every outcome, writes its
page in the default mode and opens it OPENINGS (5) times, each in a browser of its own: nothing is cached.
Milliseconds since the navigation began:

    first_row  the first row is painted
    heard      the first row's player, clicked as soon as it is there, has begun to sound
    three      so have the second's and the third's, each clicked when the one before was heard
    load       the page is loaded whole
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from browser import browser, find_browser
from small_runs import failed, judged, spoken, take, write_run

from pipeline.audio import Waveform, encode_flac
from pipeline.records import Row
from pipeline.report.write import write_report

RATE = 24_000
VOICES = 40
WORDS = ["ferry", "leaves", "quiet", "harbor", "dawn", "nobody", "waits", "morning", "light", "water"]
MARKS = ("first_row", "heard", "three", "load")
# what a person would do, done from inside the page so that no round trip is counted
WATCH = """
(() => {
  const marks = (window.marks = {});
  const mark = (name) => (marks[name] ??= performance.now());
  addEventListener("load", () => mark("load"));
  const press = (i) => document.querySelectorAll(".row .result .play")[i].click();
  let heard = 0;
  addEventListener("timeupdate", (event) => {
    if (!event.target.currentTime) return;
    heard += 1;
    if (heard === 1) { mark("heard"); press(1); }
    else if (heard === 2) press(2);
    else if (heard === 3) mark("three");
  }, true);
  new MutationObserver((_, observer) => {
    if (!document.querySelector(".row .result .play")) return;
    observer.disconnect();
    press(0);
    // the frame with the row in it is on the screen when the next one is due
    requestAnimationFrame(() => requestAnimationFrame(() => mark("first_row")));
  }).observe(document, { childList: true, subtree: true });
})();
"""


def made_rows(count: int, folder: Path) -> list[Row]:
    draw = np.random.default_rng(0)
    for voice in range(VOICES):
        (folder / f"voice-{voice}.flac").write_bytes(clip(draw, 4.0))
    return [made_row(row, draw, folder) for row in range(1, count + 1)]


def made_row(row: int, draw: np.random.Generator, folder: Path) -> Row:
    if draw.random() < 0.01:
        return failed(row)
    text = [str(word) for word in draw.choice(WORDS, 12)]
    heard = [str(draw.choice(WORDS)) if draw.random() < 0.08 else word for word in text]
    seconds = float(draw.uniform(0.8, 1.6))
    made = spoken(
        row, " ".join(text), " ".join(heard), seconds=seconds, speaker=f"voice-{row % VOICES}",
        prompt_audio=str(folder / f"voice-{row % VOICES}.flac"), similarity=float(draw.uniform(0.3, 0.9)),
        audio={"bytes": clip(draw, seconds), "path": None}, num_samples=int(seconds * RATE),
        leading_silence_s=0.1, trailing_silence_s=0.2, speech_ratio=0.8, length_ratio=1.1,
        prompt_echo_wer=0.95, similarity_window_min=0.3, dnsmos_ovrl=3.2, language_heard="en",
    )  # fmt: skip
    over = "wer: 0.5 is over 0.3"
    gate, takes = [
        ("passed", [take(0)]),
        ("passed", [take(0, over), take(1)]),
        ("warned", [take(0, over), take(1, over)]),
        ("rejected", [take(0, over), take(1, over)]),
    ][int(np.searchsorted([0.85, 0.93, 0.97], draw.random()))]
    return judged(made, gate, takes)


def clip(draw: np.random.Generator, seconds: float) -> bytes:
    """A hum with breath in it: about as large in FLAC as speech."""
    count = int(seconds * RATE)
    hum = np.sin(2 * np.pi * draw.uniform(90, 240) * np.arange(count) / RATE)
    samples = (0.25 * hum + 0.01 * draw.standard_normal(count)).astype(np.float32)
    return encode_flac(Waveform(samples, RATE))


def main(count: int = 2000, openings: int = 5) -> int:
    program = find_browser()
    if program is None:
        print("no Chromium on this machine: `make browser` installs Debian's", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = write_run(str(folder / "run"), made_rows(count, folder), shard_rows=100)
        started = time.monotonic()
        page = write_report(uri)
        written = time.monotonic() - started
        print(json.dumps({"rows": count, "page_mib": round(page.bytes / 2**20, 1), "heard": page.heard,
                          "write_s": round(written, 2)}))  # fmt: skip
        for opening in range(openings):
            with browser(program, folder / f"profile-{opening}") as opened:
                opened.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
                opened.open(Path(page.uri))
                opened.wait_for(f"{json.dumps(MARKS)}.every(name => window.marks[name])")
                marks = opened.js("window.marks")
            print(json.dumps({f"{mark}_ms": round(marks[mark]) for mark in MARKS}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
