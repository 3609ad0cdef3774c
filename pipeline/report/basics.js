// Everything that a manifest says is put in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows;
const at = (id) => document.getElementById(id);

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}
const put = (parent, ...children) => { parent.append(...children.filter(Boolean)); return parent; };
const percent = (rate) => `${(100 * rate).toFixed(rate && rate < 0.1 ? 1 : 0)}\u202f%`;
const signed = (value, text) => (value < 0 ? "\u2212" : "+") + text(Math.abs(value));
const nth = (n) => n + (["st", "nd", "rd"][n % 100 > 10 && n % 100 < 14 ? 3 : n % 10 - 1] || "th");
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
const grade = (rate) => (rate <= 0.05 ? "good" : rate <= 0.2 ? "fair" : rate <= 0.5 ? "poor" : "bad");
// what is "code: detail" in the data is in words here
const reasonWords = (reason) => {
  const [code, ...detail] = reason.split(": ");
  return [data.reasons[code] || code, ...detail].join(": ");
};
// descriptions of voices may be long
const clip = (text) => (text.length > 60 ? `${text.slice(0, 59)}\u2026` : text);
const voiceWords = ({ speaker, name, description }) =>
  [speaker, name, description && `\u201c${clip(description)}\u201d`].filter(Boolean).join(" ");
const metric = (row) => (row.unit === "char" ? "CER" : "WER");
