// Five landmarks -> the face on the template. Places are [x, y]; the template is in shares of the side.

import { rounded, shrunk, Trouble, warped } from "./picture.js";

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
  let transform = similarity(landmarks, targets);
  const scale = Math.hypot(transform[0][0], transform[1][0]);
  if (scale < 0.5) {
    const factor = 2 * scale;
    const [width, height] = [rounded(picture.width * factor), rounded(picture.height * factor)];
    picture = shrunk(picture, width, height, 1 / factor, 1 / factor);
    transform = similarity(landmarks.map((point) => point.map((place) => (place + 0.5) * factor - 0.5)), targets);
  }
  return warped(picture, transform, size);
}
