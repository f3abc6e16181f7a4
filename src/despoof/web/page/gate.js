// Is a face good enough to judge: measured values against the limits of despoof.json. Refused is not an attack.

import { greyOf, mirrored } from "./picture.js";
import { room } from "./surroundings.js";

/** Return every reason not to judge; [] means good. `faces` are those of the picture, the main one first. */
export function gate(picture, faces, face, about) {
  if (!faces.length) return [about.gate.no_face];
  const values = measure(picture, faces[0], face, about);
  return [...several(faces, about.gate), ...beyond(values, about.gate)];
}

function several(faces, { limits, several }) {
  const area = ({ box }) => box[2] * box[3];
  const others = faces.slice(1).filter(
    (face) => face.score >= limits.second_score && area(face) >= limits.second_area * area(faces[0]),
  );
  const count = 1 + others.length;
  return count > 1 ? [{ name: several.name, value: count, limit: 1, sentence: `${count} ${several.sentence}` }] : [];
}

function beyond(values, { checks, limits }) {
  const found = [];
  for (const { name, measured, limit: limitName, at_least: atLeast, sentence } of checks) {
    const value = name.startsWith("extreme") ? Math.abs(values[measured]) : values[measured];
    const limit = limits[limitName];
    const good = atLeast ? value >= limit : value <= limit; // NaN is neither
    if (!good) found.push({ name, value, limit, sentence: `${sentence} Measured ${short(value)}, limit ${short(limit)}.` });
  }
  return found;
}

function short(value) {
  return String(Number(value.toPrecision(6)));
}

/** Return the measured values of an aligned face (S, S), found in a picture, by name. */
export function measure(picture, found, face, about) {
  const grey = greyOf(face), points = found.landmarks;
  const distance = Math.hypot(points[1][0] - points[0][0], points[1][1] - points[0][1]);
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const space = Math.min(
    Math.min(...xs), Math.min(...ys), picture.width - 1 - Math.max(...xs), picture.height - 1 - Math.max(...ys),
  );
  const { yaw, pitch, roll } = pose(points, about.gate.head);
  const [dark, bright] = about.gate.clipped;
  let clipped = 0;
  for (const level of grey) clipped += level <= dark || level >= bright;
  const coarse = { eye_distance: distance, sharpness: sharpness(grey, face.width), luma: mean(grey), yaw, pitch, roll };
  const fine = {
    margin: space / Math.max(distance, 1e-6),
    clipped: clipped / grey.length,
    room: room(picture, found.box, about.surroundings.scales),
  };
  for (const name in coarse) coarse[name] = Math.round(coarse[name] * 100) / 100;
  for (const name in fine) fine[name] = Math.round(fine[name] * 1000) / 1000;
  return { ...coarse, ...fine };
}

/** Return yaw, pitch and roll in degrees from five landmarks; `head` is a head's shape in distances between the eyes. */
export function pose(points, head) {
  const eyes = [points[1][0] - points[0][0], points[1][1] - points[0][1]];
  const roll = Math.atan2(eyes[1], eyes[0]);
  const across = [Math.cos(roll), Math.sin(roll)], down = [-across[1], across[0]];
  const dot = (one, other) => one[0] * other[0] + one[1] * other[1];
  const middle = [(points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2];
  const axis = [(points[3][0] + points[4][0]) / 2 - middle[0], (points[3][1] + points[4][1]) / 2 - middle[1]];
  const nose = [points[2][0] - middle[0], points[2][1] - middle[1]];
  const drop = dot(axis, down);
  const share = drop > 0 ? dot(nose, down) / drop : 0; // a mouth above the eyes is no pose; it fails the limit
  const offset = dot([nose[0] - share * axis[0], nose[1] - share * axis[1]], across);
  const yaw = Math.atan2(offset, head.nose_depth * Math.max(Math.hypot(...eyes), 1e-6));
  const pitch = drop > 0 ? Math.atan(((head.nose_share - share) * head.mouth_drop) / head.nose_depth) : Math.PI / 2;
  const degrees = 180 / Math.PI;
  return { yaw: yaw * degrees, pitch: pitch * degrees, roll: roll * degrees };
}

function mean(values) {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Return the variance of what each pixel differs from its four neighbours by. */
function sharpness(grey, width) {
  const height = grey.length / width;
  let sum = 0, squares = 0;
  for (let y = 0; y < height; y++) {
    const above = mirrored(y - 1, height) * width, below = mirrored(y + 1, height) * width;
    for (let x = 0; x < width; x++) {
      const sides = grey[y * width + mirrored(x - 1, width)] + grey[y * width + mirrored(x + 1, width)];
      const difference = sides + grey[above + x] + grey[below + x] - 4 * grey[y * width + x];
      sum += difference;
      squares += difference * difference;
    }
  }
  return squares / grey.length - (sum / grey.length) ** 2;
}
