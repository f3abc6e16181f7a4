// The pictures of a verdict: counterpart and map of a face, by the generator's graph. They change no decision.

import { blank, rounded } from "./picture.js";

/** Return {counterpart, map} as pictures of a face (S, S), map null where the graph makes none; null without numbers. */
export async function explain(face, run, { noise, colours }) {
  const side = face.width;
  const given = { face: ["uint8", face.data, [1, side, side, 3]] };
  if (noise) given.noise = ["float32", noiseOf(face, noise), [1, ...noise]]; // else it lies in the graph
  const { counterpart, map } = await run(given);
  if (!counterpart.every(Number.isFinite) || !(map ?? []).every(Number.isFinite)) return null;
  return { counterpart: fromPlanes(counterpart, side), map: map ? painted(map, side, colours) : null };
}

/** Return normal noise of a shape, seeded by the face's pixels, so that a face has one counterpart. */
function noiseOf(face, shape) {
  let state = 2166136261; // FNV-1a
  for (const level of face.data) state = Math.imul(state ^ level, 16777619);
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0; // an additive counter, mixed: splitmix32
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return Float32Array.from({ length: shape.reduce((one, other) => one * other) }, normal);
}

function fromPlanes(values, side) {
  const made = blank(side, side), plane = side * side;
  for (let n = 0; n < plane; n++) {
    for (let channel = 0; channel < 3; channel++) {
      made.data[n * 3 + channel] = Math.round((Math.min(Math.max(values[channel * plane + n], -1), 1) + 1) * 127.5);
    }
  }
  return made;
}

/** Return a map (S * S) in 0..1 in the colours of the scale: equal numbers have equal colours everywhere. */
function painted(map, side, colours) {
  const made = blank(side, side), last = colours.length - 1;
  map.forEach((share, n) => made.data.set(colours[rounded(last * Math.min(Math.max(share, 0), 1))], n * 3));
  return made;
}
