/* The clips: a list to search, sort and filter, and one clip at a time. Texts enter as text nodes only. */
const view = JSON.parse(document.getElementById("view").textContent);
const list = document.getElementById("clip-list"), article = document.getElementById("clip-view");
const form = document.getElementById("clip-choice").elements;
let current = 0;

function keys() {
  const outputs = view.clips.flatMap((clip) => clip.outputs);
  const wer = outputs.some((output) => output.alignment) ? [{key: "wer", label: "WER", digits: 3}] : [];
  return [...view.judges, ...wer, ...view.times.filter((time) => outputs.some((output) => time.key in output.times_ms))];
}

function valueOf(output, key) {
  if (key === "wer") return output.alignment && output.alignment.words ? output.alignment.errors / output.alignment.words : undefined;
  return key in output.times_ms ? output.times_ms[key] : output.values[key];
}

function written(value, digits) { return value === undefined ? "–" : minus(value.toFixed(digits)); }

/* What the list is sorted by: a value of one system, or its difference to another one's. */
function rank(clip) {
  if (!form.key.value || !view.systems.length) return undefined;
  const own = valueOf(clip.outputs[form.system.value], form.key.value);
  if (form.other.value === "") return own;
  const other = valueOf(clip.outputs[form.other.value], form.key.value);
  return own === undefined || other === undefined ? undefined : own - other;
}

function wanted(clip) {
  const text = form.text.value.trim().toLowerCase(), shown = form.show.value;
  if (shown === "failed" && clip.outputs.every((output) => output.ok)) return false;
  if (shown === "wrong" && !clip.outputs.some((output) => output.alignment && output.alignment.errors)) return false;
  if (shown === "sound" && !clip.sound) return false;
  const said = [clip.id, clip.caption || "", ...clip.labels, ...clip.outputs.map((output) => output.transcript || "")];
  return said.join("\n").toLowerCase().includes(text);
}

function ordered() {
  const found = view.clips.map((clip, index) => ({clip, index, value: rank(clip)})).filter(({clip}) => wanted(clip));
  const sign = Number(form.order.value);
  if (form.key.value) {
    found.sort((a, b) => (a.value === undefined) - (b.value === undefined) || sign * ((a.value || 0) - (b.value || 0)) || a.index - b.index);
  } else if (sign < 0) found.reverse();
  return found;
}

function showList() {
  const found = ordered(), chosen = keys().find((key) => key.key === form.key.value);
  form.system.disabled = form.other.disabled = !chosen;
  list.replaceChildren(...found.map(({clip, index, value}) => {
    const failed = clip.outputs.filter((output) => !output.ok).length;
    const figure = chosen ? written(value, chosen.digits) : failed ? `${failed} failed` : "";
    const link = make("a", {href: `#clip=${encodeURIComponent(clip.id)}`, "data-index": index, tabindex: -1},
      make("span", {}, clip.id), make("span", {class: "figure"}, figure), make("small", {}, clip.caption || ""));
    return make("li", {}, link);
  }));
  document.getElementById("clip-count").textContent = `${found.length} of ${view.clips.length} clips`;
  markCurrent();
}

/* One link of the list is a stop of the tab key; arrows go from link to link. */
function markCurrent() {
  const links = [...list.querySelectorAll("a")];
  links.forEach((link) => { link.tabIndex = -1; link.removeAttribute("aria-current"); });
  const own = links.find((link) => Number(link.dataset.index) === current);
  if (own) own.setAttribute("aria-current", "true");
  if (own || links[0]) (own || links[0]).tabIndex = 0;
}

list.addEventListener("keydown", (event) => {
  const links = [...list.querySelectorAll("a")], at = links.indexOf(document.activeElement);
  const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1}[event.key];
  if (at < 0 || to === undefined || !links[to]) return;
  event.preventDefault();
  links[to].focus();
});

function showClip(index) {
  const clip = view.clips[index];
  if (!clip) { article.replaceChildren(make("p", {}, "There is no clip.")); return; }
  current = index;
  forgetSounds();
  const sounds = soundsOf(index), all = sounds ? [sounds.speech, sounds.reference, ...sounds.outputs] : [];
  const seconds = Math.max(0.1, ...all.map((sound) => sound.duration_s)), topHz = Math.max(1000, ...all.map((sound) => sound.rate_hz / 2));
  const heard = (sound, name) => sound ? player(sound, name, seconds, topHz) : [];
  article.replaceChildren(
    head(clip, index),
    make("p", {class: "caption"}, clip.caption ? `“${clip.caption}”` : "No caption."),
    clip.labels.length ? make("p", {}, `Labels: ${clip.labels.join(", ")}`) : "",
    sounds ? "" : make("p", {}, "This page holds no sound of this clip."),
    make("div", {class: "cards"},
      sounds && card("Speech (input)", false, heard(sounds.speech, "the speech")),
      sounds && card("Recording (reference)", false, heard(sounds.reference, "the recording")),
      ...clip.outputs.map((output, at) => outputCard(output, view.systems[at], heard(sounds && sounds.outputs[at], view.systems[at].label)))));
  markCurrent();
}

function head(clip, index) {
  const places = [...list.querySelectorAll("a")].map((link) => Number(link.dataset.index)), at = places.indexOf(index);
  const step = (label, to) => {
    const button = make("button", {type: "button", disabled: places[to] === undefined}, label);
    button.addEventListener("click", () => {
      go(places[to]);
      [...article.querySelectorAll("button")].find((other) => other.textContent === label && !other.disabled)?.focus();
    });
    return button;
  };
  return make("div", {class: "clip-head"},
    make("h3", {id: "clip-name", tabindex: -1}, clip.id),
    make("div", {}, step("Previous", at < 0 ? -1 : at - 1), " ", step("Next", at + 1)));
}

function card(title, failed, children) {
  return make("section", {class: failed ? "card failed" : "card", "aria-label": title}, make("h4", {}, title), ...children);
}

function outputCard(output, system, sound) {
  const facts = keys().map((key) => [key, valueOf(output, key.key)]).filter(([key, value]) => key.key !== "wer" && value !== undefined);
  return card(system.label, !output.ok, [
    ...(output.ok ? sound : [make("p", {}, `Failed: ${output.reason}`)]),
    transcript(output),
    facts.length ? make("dl", {}, ...facts.flatMap(([key, value]) => [make("dt", {}, key.label), make("dd", {}, written(value, key.digits))])) : "",
    output.repeats > 1 ? make("p", {}, `Times are means of ${output.repeats} repeats.`) : "",
    output.wav ? make("p", {}, make("a", {href: output.wav, download: true}, "Exact WAV"), " in the run folder") : ""]);
}

/* The transcript against the caption: what was said and not heard is struck out, what was heard is underlined. */
function transcript(output) {
  if (output.transcript === undefined) return "";
  if (!output.alignment) return make("p", {}, `Heard: ${output.transcript}`);
  const {pieces, errors, words} = output.alignment;
  const line = make("p", {class: "transcript"}, "Heard: ");
  for (const [kind, said, heard] of pieces) {
    if (kind === "equal") line.append(heard);
    if (kind === "substitute" || kind === "delete") line.append(make("del", {}, make("span", {class: "unseen"}, "not heard: "), said));
    if (kind === "substitute") line.append(" ");
    if (kind === "substitute" || kind === "insert") line.append(make("ins", {}, make("span", {class: "unseen"}, "heard instead: "), heard));
    line.append(" ");
  }
  line.append(make("small", {}, `(${errors} ${errors === 1 ? "error" : "errors"} in ${words} words)`));
  return line;
}

/* The address names the clip, so that it can be sent to someone; returns whether it names one. */
function fromAddress() {
  const [name, id] = location.hash.slice(1).split(/=(.*)/s);
  if (name !== "clip" || id === undefined) return false;
  let wantedId = id;
  try { wantedId = decodeURIComponent(id); } catch { /* Not an encoding of ours: taken as it is. */ }
  const index = view.clips.findIndex((clip) => clip.id === wantedId);
  if (index < 0) return false;
  showClip(index);
  return true;
}

function go(index) {
  history.replaceState(null, "", `#clip=${encodeURIComponent(view.clips[index].id)}`);
  showClip(index);
}

function arrive() {
  if (!fromAddress() || list.contains(document.activeElement) && matchMedia("(min-width: 56rem)").matches) return;
  document.getElementById("clip-name").focus({preventScroll: true});
  article.scrollIntoView({block: "start"});
}

function options(select, pairs) { select.replaceChildren(...pairs.map(([value, label]) => make("option", {value}, label))); }

function beginClips() {
  options(form.key, [["", "dataset order"], ...keys().map((key) => [key.key, key.label])]);
  options(form.system, view.systems.map((system, index) => [index, system.label]));
  options(form.other, [["", "nothing"], ...view.systems.map((system, index) => [index, system.label])]);
  const outputs = view.clips.flatMap((clip) => clip.outputs), sounding = view.clips.filter((clip) => clip.sound).length;
  options(form.show, [["", "all clips"],
    ...(outputs.some((output) => !output.ok) ? [["failed", "clips that failed"]] : []),
    ...(outputs.some((output) => output.alignment) ? [["wrong", "clips misheard"]] : []),
    ...(sounding && sounding < view.clips.length ? [["sound", "clips with sound"]] : [])]);
  document.getElementById("clip-choice").addEventListener("input", showList);
  document.getElementById("clip-choice").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", arrive);
  showList();
}

/* Sounds come last in the file, and are decoded when the reader gets to the clips. */
function beginSounds() {
  if (location.hash.startsWith("#clip=")) { arrive(); if (article.childElementCount) return; }
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) { seen.disconnect(); if (!article.childElementCount) showClip(current); }
  }, {rootMargin: "400px"});
  seen.observe(document.getElementById("clips"));
}
