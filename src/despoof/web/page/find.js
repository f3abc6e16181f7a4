// A picture -> faces {box: [left, top, width, height], landmarks: five [x, y], score}, the best score first.
// `run` gives the arrays of the face detector's graph; `finder` is its part of despoof.json.

import { cut, padded, rounded, shrunkPart } from "./picture.js";

/** Return the faces that are seen in a picture shrunk to the search's side, or with a wide margin where none is. */
export async function findLarge(picture, run, finder) {
  const side = searchedAt(picture, finder);
  let found = await search(picture, run, finder, side);
  if (!found.length) found = await search(picture, run, finder, side, true); // detectors miss faces that fill the frame
  const closer = [];
  for (const face of found) closer.push(await fromClose(face, picture, run, finder));
  return closer;
}

/** Return the faces that are seen in a large picture shrunk less. */
export async function findSmall(picture, run, finder) {
  const larger = Math.max(picture.width, picture.height) > searchedAt(picture, finder);
  return larger ? search(picture, run, finder, finder.fine_side) : [];
}

/** Return the longest side of a picture's first search. */
export function searchedAt(picture, { search_sides: [least, most] }) {
  return Math.min(most, Math.max(least, Math.floor(Math.max(picture.width, picture.height) / 2)));
}

/** Return a face with the landmarks that are seen from close, where the search saw it small; its score stays. */
async function fromClose(face, picture, run, finder) {
  const shrunkBy = searchedAt(picture, finder) / Math.max(picture.width, picture.height);
  const [left, right] = face.landmarks, eyes = Math.hypot(right[0] - left[0], right[1] - left[1]);
  if (shrunkBy >= 1 || eyes * shrunkBy >= finder.close_below) return face;
  const [x, y, width, height] = face.box, reach = (finder.close_widths * Math.max(width, height)) / 2;
  const start = [x + width / 2, y + height / 2].map((centre) => Math.max(0, Math.trunc(centre - reach)));
  const end = [
    Math.min(Math.trunc(x + width / 2 + reach), picture.width), Math.min(Math.trunc(y + height / 2 + reach), picture.height),
  ];
  if (end[0] <= start[0] || end[1] <= start[1]) return face;
  const seen = await search(cut(picture, ...start, ...end), run, finder, finder.close_side);
  const same = seen.map((one) => moved(one, 1, ...start)).filter(({ landmarks: [, , [noseX, noseY]] }) =>
    x <= noseX && noseX < x + width && y <= noseY && noseY < y + height);
  const area = ({ box }) => box[2] * box[3];
  if (!same.length) return face;
  return { ...same.reduce((best, one) => (area(one) > area(best) ? one : best)), score: face.score };
}

/** Return what is found in a picture shrunk to this longest side and padded by half, where it lies in the picture. */
async function search(picture, run, finder, side, margin = false) {
  const scale = Math.min(1, side / Math.max(picture.width, picture.height));
  if (Math.min(picture.width, picture.height) * scale < finder.least_side) return [];
  const size = [rounded(picture.width * scale), rounded(picture.height * scale)];
  const small = scale === 1 ? picture : shrunkPart(picture, [0, 0, ...size], 1 / scale, 1 / scale);
  if (!margin) return (await detected(small, run, finder)).map((face) => moved(face, 1 / scale, 0, 0));
  const x = small.width >> 1, y = small.height >> 1;
  const found = await detected(padded(small, x, y), run, finder);
  return found.map((face) => moved(face, 1 / scale, -x, -y)).filter((face) => centreInside(face, picture));
}

async function detected(picture, run, finder) {
  const found = await run(asInput(picture, finder.mean), [1, 3, picture.height, picture.width]);
  return decoded(found, picture, finder);
}

/** Return the faces of a picture that the graph's arrays tell: offsets from its anchors, by Single Shot Detector's code. */
export function decoded({ loc: boxes, conf: scores, landmarks: points }, picture, finder) {
  const [near, grown] = finder.variances, found = [];
  for (const { index, x, y, side } of anchors(picture, finder.anchors)) {
    const score = scores[index * 2 + 1];
    if (!(score > finder.least_score)) continue;
    const place = (values, n) => [x + side * values[n] * near, y + side * values[n + 1] * near];
    const centre = place(boxes, index * 4);
    const size = [2, 3].map((n) => side * Math.exp(boxes[index * 4 + n] * grown));
    const landmarks = [0, 2, 4, 6, 8].map((n) => place(points, index * 10 + n));
    found.push({ box: [centre[0] - size[0] / 2, centre[1] - size[1] / 2, ...size], landmarks, score });
  }
  return apart(found, finder.most_overlap);
}

function asInput({ width, height, data }, mean) {
  const plane = width * height, input = new Float32Array(plane * 3); // blue, green, red
  for (let n = 0; n < plane; n++) {
    for (let channel = 0; channel < 3; channel++) input[channel * plane + n] = data[n * 3 + 2 - channel] - mean[channel];
  }
  return input;
}

/** Return the boxes that the graph's rows start from, in its order. */
function* anchors(picture, levels) {
  let index = 0;
  for (const [stride, sizes] of levels) {
    for (let row = 0; row < Math.ceil(picture.height / stride); row++) {
      for (let column = 0; column < Math.ceil(picture.width / stride); column++) {
        for (const side of sizes) yield { index: index++, x: (column + 0.5) * stride, y: (row + 0.5) * stride, side };
      }
    }
  }
}

/** Return faces by score, without those that share more than `most` of their joint area with a better one. */
function apart(faces, most) {
  const kept = [];
  for (const face of faces.sort((one, other) => other.score - one.score)) {
    if (kept.every((better) => overlap(better.box, face.box) <= most)) kept.push(face);
  }
  return kept;
}

function overlap(one, other) {
  const width = Math.min(one[0] + one[2], other[0] + other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[1] + one[3], other[1] + other[3]) - Math.max(one[1], other[1]);
  const shared = Math.max(width, 0) * Math.max(height, 0);
  return shared / (one[2] * one[3] + other[2] * other[3] - shared);
}

function moved({ box, landmarks, score }, scale, x, y) {
  const shift = (scale - 1) / 2; // the middle of the first pixel stays at (0, 0)
  const place = (point) => [(point[0] + x) * scale + shift, (point[1] + y) * scale + shift];
  return { box: [...place(box), box[2] * scale, box[3] * scale], landmarks: landmarks.map(place), score };
}

function centreInside({ box }, { width, height }) {
  const x = box[0] + box[2] / 2, y = box[1] + box[3] / 2;
  return x >= 0 && x < width && y >= 0 && y < height;
}
