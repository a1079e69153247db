/* Sounds: a player and a spectrogram from the base64 of an MP3; nothing is decoded before it is seen. */
let addresses = [];

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function bytesOf(base64) { return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)); }

/* The sounds of the clip at `index`, or null where the page holds none. */
function soundsOf(index) {
  const element = document.getElementById(`sound-${index}`);
  return element && JSON.parse(element.textContent);
}

function forgetSounds() {
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
}

/* The player and the canvas of one sound, on axes of `seconds` and `topHz`; or why it is silent. */
function player(sound, name, seconds, topHz) {
  if (!sound.data) return [make("p", {}, `No sound: ${sound.reason}.`)];
  const bytes = bytesOf(sound.data);
  const address = URL.createObjectURL(new Blob([bytes], {type: "audio/mpeg"}));
  addresses.push(address);
  const audio = make("audio", {controls: true, preload: "metadata", src: address, "aria-label": name});
  audio.addEventListener("play", () => {
    document.querySelectorAll("audio").forEach((other) => { if (other !== audio) other.pause(); });
  });
  const canvas = make("canvas", {role: "img", "aria-label": `Spectrogram of ${name}`});
  const words = make("p", {class: "words"}, `0 to ${seconds.toFixed(1)} s, 0 to ${(topHz / 1000).toFixed(1)} kHz`);
  decode(bytes, sound.rate_hz).then((samples) => {
    const kept = samples.subarray(0, Math.round(sound.duration_s * sound.rate_hz));
    const seen = drawSpectrogram(canvas, kept, sound.rate_hz, seconds, topHz);
    canvas.setAttribute("aria-label", `Spectrogram of ${name}: ${seen}`);
    canvas.title = seen;
  }).catch(() => { canvas.replaceWith(make("p", {}, "This browser cannot decode the sound.")); });
  return [audio, canvas, words];
}

async function decode(bytes, rateHz) {
  const context = new OfflineAudioContext(1, 1, rateHz);
  return (await context.decodeAudioData(bytes.buffer.slice(0))).getChannelData(0);
}
