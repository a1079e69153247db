// A system behind HTTP, without packages: the sound that it makes is the speech at half its level.
// node server.js [PORT]; systems/http.py says what each request and answer may hold.
"use strict";

const http = require("node:http");

const HEADER_BYTES = 44; // of the WAV that stabench sends
const heard = new Map();
let count = 0;

// Read the weights here: nothing is timed before the answer.
function load() {
  return json({ provenance: { name: "half", version: "1" } });
}

// Hear the speech here: processing latency.
function represent(body) {
  count += 1;
  heard.set(count, body);
  return json({ representation: count });
}

// Make the sound here: generation time.
function generate(body) {
  const { representation } = JSON.parse(body);
  const sound = heard.get(representation);
  if (sound === undefined) throw new Error(`nothing was heard as ${representation}`);
  heard.delete(representation);
  const start = performance.now();
  for (let at = HEADER_BYTES; at + 1 < sound.length; at += 2) {
    sound.writeInt16LE(Math.trunc(sound.readInt16LE(at) / 2), at);
  }
  const took = performance.now() - start;
  return { type: "audio/wav", content: sound, timing: `gain;dur=${took.toFixed(3)}` };
}

function json(value) {
  return { type: "application/json", content: Buffer.from(JSON.stringify(value)) };
}

const PATHS = { "/load": load, "/represent": represent, "/generate": generate };

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    let status = 200;
    let answer;
    try {
      const work = PATHS[request.url];
      if (work === undefined) throw new Error(`no such path: ${request.url}`);
      answer = work(Buffer.concat(parts));
    } catch (error) {
      status = 500;
      answer = { type: "text/plain", content: Buffer.from(error.message) };
    }
    const headers = { "Content-Type": answer.type, "Content-Length": answer.content.length };
    if (answer.timing) headers["Server-Timing"] = answer.timing;
    response.writeHead(status, headers);
    response.end(answer.content);
  });
});

server.keepAliveTimeout = 60_000; // other systems of a run take their turns in between
server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
