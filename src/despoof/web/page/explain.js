// The pictures of a verdict: counterpart and map of a face, by the generator's graph. They change no decision.

import { blank, greyOf } from "./picture.js";

/** Return {counterpart, map} as pictures of a face (S, S), or null where the networks gave no numbers. */
export async function explain(face, run, { noise }) {
  const side = face.width;
  const found = await run({
    face: ["uint8", face.data, [1, side, side, 3]],
    noise: ["float32", noiseOf(face, noise), [1, ...noise]],
  });
  if (![found.counterpart, found.map].every((values) => values.every(Number.isFinite))) return null;
  return { counterpart: fromPlanes(found.counterpart, side), map: painted(face, found.map) };
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

/** Return the face in grey, and over it in colour where it departs from its counterpart (map 0..1). */
function painted(face, map) {
  const made = blank(face.width, face.height), grey = greyOf(face);
  for (let n = 0; n < grey.length; n++) {
    const share = Math.min(Math.max(map[n], 0), 1), ground = grey[n] * 0.6;
    [255, 120, 0].forEach((level, channel) => {
      made.data[n * 3 + channel] = Math.round(ground + (level - ground) * share);
    });
  }
  return made;
}
