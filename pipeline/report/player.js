// Sound: one audio element, so that only one voice speaks at a time.

const audio = new Audio();
audio.id = "audio";
audio.hidden = true;
document.body.append(audio);
let current = null;

// the rows are shown before all of their sound has arrived
const isHere = (source) => source.href || at(source.clip)?.nextSibling || document.readyState !== "loading";

function addressOf(source) {
  if (source.href) return source.href;
  const clip = at(source.clip);
  const bytes = Uint8Array.from(atob(clip.textContent), (c) => c.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: clip.dataset.mime }));
}

function select(player) {
  if (current === player) return;
  if (current) { audio.pause(); current.rest(); }
  if (audio.src.startsWith("blob:")) URL.revokeObjectURL(audio.src);
  current = player;
  audio.src = addressOf(player.source);
}

for (const event of ["play", "pause", "timeupdate", "loadedmetadata", "ended"])
  audio.addEventListener(event, () => current && current.draw());
audio.addEventListener("error", () => current && current.fail());

function makePlayer(source, kind, name, row, seconds) {
  const box = make("div", `player ${kind}`);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", `${name} of ${row.id}`);
  const button = make("button", "play");
  button.type = "button";
  const slider = make("input");
  slider.type = "range";
  slider.min = 0; slider.max = 1; slider.step = 0.001; slider.value = 0;
  slider.setAttribute("aria-label", `Position in the ${name.toLowerCase()}`);
  const time = make("span", "time", seconds ? clock(seconds) : "");
  const line = put(make("div", "line"), make("span", "what", name), time);
  put(box, button, put(make("div", "track"), line, slider));
  const player = {
    source,
    toggle() {
      if (!isHere(source)) {
        document.addEventListener("DOMContentLoaded", player.toggle, { once: true });
        return;
      }
      select(player);
      if (audio.paused) audio.play().catch(() => {}); else audio.pause();
    },
    draw() {
      if (box.classList.contains("broken")) return; // what it says must not be written over
      const playing = !audio.paused && !audio.ended;
      const whole = Number.isFinite(audio.duration) ? audio.duration : seconds || 0;
      box.classList.toggle("playing", playing);
      button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} the ${name.toLowerCase()} of ${row.id}`);
      slider.value = whole ? audio.currentTime / whole : 0;
      slider.setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(whole)}`);
      time.textContent = `${clock(audio.currentTime)} / ${clock(whole)}`;
    },
    rest() {
      box.classList.remove("playing");
      button.setAttribute("aria-label", `Play the ${name.toLowerCase()} of ${row.id}`);
      slider.value = 0;
      if (seconds) time.textContent = clock(seconds);
    },
    fail() {
      box.classList.add("broken");
      box.classList.remove("playing");
      time.textContent = source.href ? "file not found here" : "cannot be played";
    },
  };
  player.rest();
  button.addEventListener("click", player.toggle);
  slider.addEventListener("input", () => {
    if (!isHere(source)) return;
    select(player);
    const seek = () => { audio.currentTime = slider.value * audio.duration; };
    if (audio.readyState) seek(); else audio.addEventListener("loadedmetadata", seek, { once: true });
  });
  return box;
}
