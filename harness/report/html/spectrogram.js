"use strict";

/* A spectrogram: power of Hann windows, 80 dB below full scale and up, drawn on a canvas. */
const WINDOW = 1024, COLUMNS = 480, ROWS = 128, RANGE_DB = 80;
const HANN = Float32Array.from({length: WINDOW}, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / WINDOW));
const SHADES = [[0, 0, 6], [52, 16, 92], [148, 38, 108], [226, 92, 64], [250, 180, 60], [252, 252, 190]];

/* In place, radix 2 (Cooley and Tukey, 1965). */
function transform(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let size = 2; size <= n; size <<= 1) {
    const half = size >> 1, turn = -2 * Math.PI / size;
    for (let k = 0; k < half; k++) {
      const c = Math.cos(turn * k), s = Math.sin(turn * k);
      for (let at = k; at < n; at += size) {
        const to = at + half, x = re[to] * c - im[to] * s, y = re[to] * s + im[to] * c;
        re[to] = re[at] - x; im[to] = im[at] - y; re[at] += x; im[at] += y;
      }
    }
  }
}

/* Power of one window in WINDOW / 2 bins, 1 for a sine at full scale. */
function power(samples, centre, re, im) {
  const start = centre - (WINDOW >> 1), found = new Float32Array(WINDOW >> 1);
  for (let i = 0; i < WINDOW; i++) { re[i] = (samples[start + i] || 0) * HANN[i]; im[i] = 0; }
  transform(re, im);
  for (let i = 0; i < found.length; i++) found[i] = 16 * (re[i] ** 2 + im[i] ** 2) / WINDOW ** 2;
  return found;
}

function shade(db) {
  const at = Math.min(Math.max(1 + db / RANGE_DB, 0), 1) * (SHADES.length - 1), low = Math.min(Math.floor(at), SHADES.length - 2);
  return SHADES[low].map((value, i) => value + (at - low) * (SHADES[low + 1][i] - value));
}

/* Draws samples at rateHz on axes of seconds and topHz; returns what there is to see, in words. */
function drawSpectrogram(canvas, samples, rateHz, seconds, topHz) {
  canvas.width = COLUMNS; canvas.height = ROWS;
  const image = canvas.getContext("2d").createImageData(COLUMNS, ROWS);
  const re = new Float32Array(WINDOW), im = new Float32Array(WINDOW), sum = new Float64Array(WINDOW >> 1);
  for (let x = 0; x < COLUMNS; x++) {
    const centre = Math.round((x + 0.5) / COLUMNS * seconds * rateHz);
    if (centre >= samples.length) break;
    const found = power(samples, centre, re, im);
    found.forEach((value, i) => { sum[i] += value; });
    for (let y = 0; y < ROWS; y++) {
      const low = (ROWS - 1 - y) / ROWS * topHz * WINDOW / rateHz, high = (ROWS - y) / ROWS * topHz * WINDOW / rateHz;
      if (low >= found.length) continue;
      let most = 0;
      for (let i = Math.floor(low); i < Math.max(high, Math.floor(low) + 1) && i < found.length; i++) most = Math.max(most, found[i]);
      image.data.set([...shade(10 * Math.log10(most + 1e-12)), 255], 4 * (y * COLUMNS + x));
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return inWords(samples, rateHz, sum);
}

function inWords(samples, rateHz, sum) {
  let peak = 0, energy = 0;
  for (const value of samples) { peak = Math.max(peak, Math.abs(value)); energy += value * value; }
  const length = `${(samples.length / rateHz).toFixed(1)} s`;
  if (peak < 1e-4) return `${length}, silent`;
  const rms = 10 * Math.log10(energy / samples.length), audible = sum.map((value, i) => i * rateHz / WINDOW < 30 ? 0 : value);
  const loudest = audible.indexOf(Math.max(...audible)) * rateHz / WINDOW;
  return `${length}, peak ${minus((20 * Math.log10(peak)).toFixed(0))} dB, level ${minus(rms.toFixed(0))} dB of full scale, loudest near ${Math.round(loudest)} Hz`;
}

/* A true minus sign, and never a negative zero. */
function minus(text) { return text.replace(/^-(?=[0.]+$)/, "").replace("-", "−"); }
