// A picture as it came -> what is to be judged of it: without blank borders, upright, with its faces, the main one first.

import { cut, turned } from "./picture.js";

/** Return {picture, faces, turns, trimmed}; `finds` are the searches for large and for small faces of a picture, `about`
 * is the part "scene" of despoof.json. */
export async function look(picture, finds, about) {
  const trimmed = blankBorders(picture, about);
  const [left, top, right, bottom] = trimmed;
  const rest = cut(picture, left, top, picture.width - right, picture.height - bottom);
  const at = async (turns) => {
    const view = turned(rest, turns);
    return { picture: view, faces: mainFirst(await finds.large(view), view, about), turns, trimmed };
  };
  let scene = await at(0);
  if (!beyondDoubt(scene, about)) {
    const turns = [scene, await at(1), await at(2), await at(3)];
    const standing = turns.filter(({ faces }) => faces.length && Math.abs(roll(faces[0])) <= about.upright);
    scene = standing.reduce((best, one) => (one.faces[0].score > best.faces[0].score ? one : best), standing[0] ?? scene);
  }
  const shrunk = Math.min(1, finds.searchedAt(scene.picture) / Math.max(scene.picture.width, scene.picture.height));
  if (scene.faces.some(({ landmarks }) => apart(landmarks) * shrunk >= about.alone_from)) return scene;
  const small = mainFirst(await finds.small(scene.picture), scene.picture, about);
  return small.length > scene.faces.length ? { ...scene, faces: small } : scene;
}

function beyondDoubt({ faces: [main] }, { at_once_roll: mostRoll, at_once_score: leastScore, at_once_eyes: leastEyes }) {
  if (!main) return false;
  const eyes = apart(main.landmarks) / Math.max(main.box[2], 1e-6);
  return Math.abs(roll(main)) <= mostRoll && main.score >= leastScore && eyes >= leastEyes;
}

function apart([left, right]) {
  return Math.hypot(right[0] - left[0], right[1] - left[1]);
}

function roll({ landmarks: [left, right] }) {
  return (Math.atan2(right[1] - left[1], right[0] - left[0]) * 180) / Math.PI;
}

const area = ({ box }) => box[2] * box[3];

/** Return faces with the main one first: the most central of those of like size to the largest; the others by size. */
export function mainFirst(faces, picture, about) {
  if (!faces.length) return [];
  const bySize = [...faces].sort((one, other) => area(other) - area(one));
  const sure = bySize.filter((face) => face.score >= about.sure);
  const among = sure.length ? sure : bySize;
  const offCentre = ({ box }) => Math.hypot(box[0] + box[2] / 2 - picture.width / 2, box[1] + box[3] / 2 - picture.height / 2);
  const alike = faces.filter((face) => among.includes(face) && area(face) >= about.like_size * area(among[0]));
  const main = alike.reduce((best, face) => (offCentre(face) < offCentre(best) ? face : best));
  return [main, ...bySize.filter((face) => face !== main)];
}

/** Return how many px at left, top, right and bottom are of one colour, with the fringe that JPEG makes of it. */
export function blankBorders(picture, about) {
  const { width, height } = picture;
  let left = 0, top = 0, right = 0, bottom = 0;
  for (;;) {
    const across = width - left - right, down = height - top - bottom;
    const columns = (place) => ({ count: across, length: down, at: (n, i) => (top + i) * width + place(n) });
    const rows = (place) => ({ count: down, length: across, at: (n, i) => place(n) * width + left + i });
    const off = [
      columns((n) => left + n), rows((n) => top + n), columns((n) => width - 1 - right - n), rows((n) => height - 1 - bottom - n),
    ].map((lines) => blankLines(picture, lines, about));
    if (!off.some(Boolean)) return [left, top, right, bottom];
    left += off[0];
    top += off[1];
    right += off[2];
    bottom += off[3];
    if (Math.min(width - left - right, height - top - bottom) < about.least_side) return [0, 0, 0, 0];
  }
}

/** Return how many of the first lines are blank: to the last blank one, past others that are few. */
function blankLines(picture, { count, length, at }, about) {
  const step = Math.max(1, Math.floor(length / about.sampled));
  const line = (n) => {
    const channels = [0, 1, 2].map(() => new Uint8Array(Math.ceil(length / step)));
    channels.forEach((levels, channel) => levels.forEach((_, i) => (levels[i] = picture.data[at(n, i * step) * 3 + channel])));
    return channels;
  };
  let blank = 0;
  for (let n = 0; n < count && n - blank < about.fringe; n++) {
    const channels = line(n);
    if (shareNear(channels, channels.map(median), about.flat) >= about.flat_share) blank = n + 1;
  }
  if (blank === 0 || blank === count) return blank;
  const colour = line(blank - 1).map(median), end = Math.min(blank + about.fringe, count);
  while (blank < end && shareNear(line(blank), colour, about.fringe_levels) >= about.fringe_share) blank++;
  return blank;
}

function median(levels) {
  const sorted = levels.slice().sort(), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function shareNear(channels, colour, most) {
  let near = 0;
  for (let i = 0; i < channels[0].length; i++) {
    near += channels.every((levels, channel) => Math.abs(levels[i] - colour[channel]) <= most);
  }
  return near / channels[0].length;
}
