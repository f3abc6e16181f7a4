// A picture -> faces {box: [left, top, width, height], landmarks: five [x, y], score}, the best score first.
// `run` gives the arrays of the face detector's graph; `finder` is its part of despoof.json.

import { padded, rounded, shrunkPart } from "./picture.js";

/** Search a picture; where nothing is found, once more with a wide margin, since faces that fill the frame are missed. */
export async function findFaces(picture, run, finder) {
  const scale = Math.min(1, finder.search_side / Math.max(picture.width, picture.height));
  if (Math.min(picture.width, picture.height) * scale < finder.least_side) return [];
  const size = [rounded(picture.width * scale), rounded(picture.height * scale)];
  const small = scale === 1 ? picture : shrunkPart(picture, [0, 0, ...size], 1 / scale, 1 / scale);
  const found = await search(small, run, finder);
  if (found.length) return found.map((face) => moved(face, 1 / scale, 0, 0));
  const x = small.width >> 1, y = small.height >> 1;
  const again = await search(padded(small, x, y), run, finder);
  return again.map((face) => moved(face, 1 / scale, -x, -y)).filter((face) => centreInside(face, picture));
}

async function search(picture, run, finder) {
  const found = await run(asInput(picture, finder.mean), [1, 3, picture.height, picture.width]);
  return decoded(found, picture, finder);
}

/** Return the faces of a picture that the graph's arrays tell: offsets from its anchors, by Single Shot Detector's code. */
export function decoded({ loc: boxes, conf: scores, landmarks: points }, picture, finder) {
  const found = [];
  for (const { index, x, y, width, height } of anchors(picture, finder.anchors)) {
    const score = scores[index * 2 + 1];
    if (!(score > finder.least_score)) continue;
    const [near, grown] = finder.variances;
    const place = (values, n) => [x + width * values[n] * near, y + height * values[n + 1] * near];
    const [middleX, middleY] = place(boxes, index * 4);
    const size = [width * Math.exp(boxes[index * 4 + 2] * grown), height * Math.exp(boxes[index * 4 + 3] * grown)];
    const landmarks = [0, 2, 4, 6, 8].map((n) => place(points, index * 10 + n));
    found.push({ box: [middleX - size[0] / 2, middleY - size[1] / 2, ...size], landmarks, score });
  }
  return apart(found, finder.most_overlap).map((face) => inWholePixels(face, finder.offset));
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
  for (const { stride, sizes } of levels) {
    for (let row = 0; row < Math.ceil(picture.height / stride); row++) {
      for (let column = 0; column < Math.ceil(picture.width / stride); column++) {
        for (const side of sizes) {
          yield { index: index++, x: (column + 0.5) * stride, y: (row + 0.5) * stride, width: side, height: side };
        }
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

function inWholePixels({ box, landmarks, score }, offset) {
  const whole = box.map(Math.trunc);
  const points = landmarks.map((point) => point.map((place) => Math.trunc(place) + offset));
  return { box: [whole[0] + offset, whole[1] + offset, whole[2], whole[3]], landmarks: points, score };
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
