// Five landmarks -> the face on the template. Places are [x, y]; the template is in shares of the side.

import { rounded, shrunkPart, Trouble, warped } from "./picture.js";

/** Return the least-squares turn, scale and shift [[a, -b, tx], [b, a, ty]] from points to targets. */
export function similarity(points, targets) {
  const from = middle(points), to = middle(targets);
  let along = 0, across = 0, norm = 0;
  points.forEach(([pointX, pointY], n) => {
    const x = pointX - from[0], y = pointY - from[1], u = targets[n][0] - to[0], v = targets[n][1] - to[1];
    along += x * u + y * v;
    across += x * v - y * u;
    norm += x * x + y * y;
  });
  if (!(norm > 0) || !Number.isFinite(norm)) {
    throw new Trouble("The places found are no face. Take another photo, straight at the camera.");
  }
  const a = along / norm, b = across / norm;
  return [
    [a, -b, to[0] - (a * from[0] - b * from[1])],
    [b, a, to[1] - (b * from[0] + a * from[1])],
  ];
}

function middle(points) {
  const sum = points.reduce(([x, y], point) => [x + point[0], y + point[1]], [0, 0]);
  return [sum[0] / points.length, sum[1] / points.length];
}

/** Return the face (size, size) on the template; one more than twice as large is averaged down by area first. */
export function align(picture, landmarks, { template, size }) {
  const targets = template.map(([x, y]) => [x * size, y * size]);
  const transform = similarity(landmarks, targets);
  const scale = Math.hypot(transform[0][0], transform[1][0]);
  if (scale >= 0.5) return warped(picture, transform, size);
  const factor = 2 * scale, [width, height] = [picture.width, picture.height].map((side) => rounded(side * factor));
  const smaller = landmarks.map((point) => point.map((place) => (place + 0.5) * factor - 0.5));
  const [across, down] = similarity(smaller, targets);
  const part = seen([across, down], size, width, height), [left, top] = part;
  const moved = [across, down].map(([x, y, shift]) => [x, y, shift + x * left + y * top]);
  return warped(shrunkPart(picture, part, 1 / factor, 1 / factor), moved, size);
}

/** Return [left, top, right, bottom] of what a square of this size shows of a picture; all of it where it shows beyond. */
function seen([[a, b, tx], [c, d, ty]], size, width, height) {
  const area = a * d - b * c, corners = [[0, 0], [size, 0], [0, size], [size, size]];
  const xs = corners.map(([x, y]) => (d * (x - tx) - b * (y - ty)) / area);
  const ys = corners.map(([x, y]) => (a * (y - ty) - c * (x - tx)) / area);
  const [left, top] = [xs, ys].map((places) => Math.floor(Math.min(...places)) - 1);
  const [right, bottom] = [xs, ys].map((places) => Math.ceil(Math.max(...places)) + 2);
  const inside = left >= 0 && top >= 0 && right <= width && bottom <= height;
  return inside ? [left, top, right, bottom] : [0, 0, width, height];
}
