// A picture: {width, height, data}, data (H * W * 3) Uint8Array, RGB, upright, sRGB. What is done to one here gives what
// OpenCV gives in Python, to the level: coordinates have their origin in the middle of the first pixel.

/** What the user can act on: its message says what is wrong and the next step. Nothing is judged after one. */
export class Trouble extends Error {}

/** Return an empty picture. */
export function blank(width, height) {
  return { width, height, data: new Uint8Array(width * height * 3) };
}

/** Return the picture in a file (Blob): turned as its EXIF says, alpha on black; `limits` are those of despoof.json. */
export async function readFile(file, limits) {
  if (!file.size) throw new Trouble("The file is empty. Take or download the photo again.");
  if (file.size > limits.most_bytes) throw new Trouble(`The file is larger than ${limits.most_bytes >> 20} MB. Shrink it.`);
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  if (!bitmap) throw new Trouble("This browser cannot read the file as a picture. Give a JPEG or PNG.");
  try {
    return readSource(bitmap, bitmap.width, bitmap.height, limits);
  } finally {
    bitmap.close();
  }
}

/** Return what a bitmap, video or canvas shows; sizes that Python refuses are refused. */
export function readSource(source, width, height, limits) {
  if (width * height > limits.most_pixels) {
    throw new Trouble(`The picture has ${width} x ${height} pixels, more than ${limits.most_pixels}. Shrink it.`);
  }
  if (Math.min(width, height) < limits.least_side) {
    throw new Trouble(`The picture has ${width} x ${height} pixels; expected ${limits.least_side} a side. Take a larger one.`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new Trouble("The browser has no memory for a picture of this size. Close other pages or shrink it.");
  context.fillRect(0, 0, width, height); // black
  context.drawImage(source, 0, 0, width, height);
  return fromRgba(context.getImageData(0, 0, width, height));
}

/** Return the colours of {width, height, data} with four channels, all opaque. */
export function fromRgba({ width, height, data }) {
  const made = blank(width, height);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    made.data[to++] = data[from];
    made.data[to++] = data[from + 1];
    made.data[to++] = data[from + 2];
  }
  return made;
}

/** Return the lightness (W * H) of a picture by the weights of ITU-R BT.601, in whole levels. */
export function greyOf({ width, height, data }) {
  const grey = new Uint8Array(width * height);
  for (let n = 0, from = 0; n < grey.length; n++, from += 3) {
    grey[n] = (data[from] * 9798 + data[from + 1] * 19235 + data[from + 2] * 3735 + 16384) >> 15; // 2^15 in all
  }
  return grey;
}

/** Return a picture as ImageData, to be shown. */
export function toImageData(picture) {
  const rgba = new Uint8ClampedArray(picture.width * picture.height * 4).fill(255);
  for (let from = 0, to = 0; from < picture.data.length; to += 4) {
    for (let channel = 0; channel < 3; channel++) rgba[to + channel] = picture.data[from++];
  }
  return new ImageData(rgba, picture.width, picture.height);
}

/** Return the part from (left, top) up to, not including, (right, bottom). */
export function cut(picture, left, top, right, bottom) {
  if (left === 0 && top === 0 && right === picture.width && bottom === picture.height) return picture;
  const made = blank(right - left, bottom - top);
  for (let y = 0; y < made.height; y++) {
    const start = ((y + top) * picture.width + left) * 3;
    made.data.set(picture.data.subarray(start, start + made.width * 3), y * made.width * 3);
  }
  return made;
}

/** Return a picture turned clockwise by quarters. */
export function turned(picture, quarters) {
  if (quarters === 0) return picture;
  const { width, height, data } = picture;
  const made = quarters === 2 ? blank(width, height) : blank(height, width);
  let to = 0;
  for (let y = 0; y < made.height; y++) {
    for (let x = 0; x < made.width; x++) {
      const [column, row] =
        quarters === 1 ? [y, height - 1 - x] : quarters === 2 ? [width - 1 - x, height - 1 - y] : [width - 1 - y, x];
      const from = (row * width + column) * 3;
      made.data[to++] = data[from];
      made.data[to++] = data[from + 1];
      made.data[to++] = data[from + 2];
    }
  }
  return made;
}

/** Return where a place beyond an edge of `count` pixels is seen in a mirror through the middle of the last one. */
export function mirrored(place, count) {
  if (count === 1) return 0;
  const period = 2 * count - 2;
  const within = ((place % period) + period) % period;
  return within < count ? within : period - within;
}

/** Return a picture with mirrored margins of `x` px at left and right and `y` px above and below. */
export function padded(picture, x, y) {
  const made = blank(picture.width + 2 * x, picture.height + 2 * y);
  let to = 0;
  for (let row = 0; row < made.height; row++) {
    const start = mirrored(row - y, picture.height) * picture.width;
    for (let column = 0; column < made.width; column++) {
      const from = (start + mirrored(column - x, picture.width)) * 3;
      made.data[to++] = picture.data[from];
      made.data[to++] = picture.data[from + 1];
      made.data[to++] = picture.data[from + 2];
    }
  }
  return made;
}

/** Round to the nearest whole number, halves to the even one, as Python and OpenCV do. */
export function rounded(value) {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 !== 0 ? near - 1 : near;
}

/** Return a picture at a smaller size, each pixel the mean of the area that it covers. */
export function shrunk(picture, width, height) {
  return shrunkPart(picture, [0, 0, width, height], picture.width / width, picture.height / height);
}

/** Return of a picture shrunk to pixels of `perX` by `perY` old ones the part from (left, top) up to (right, bottom). */
export function shrunkPart(picture, [left, top, right, bottom], perX, perY) {
  const across = covers(picture.width, left, right, perX), down = covers(picture.height, top, bottom, perY);
  const made = blank(right - left, bottom - top), length = made.width * 3;
  const sum = new Float32Array(length), line = new Float32Array(length);
  const even = perX === 2 && perY === 2 ? 0 : 1; // OpenCV rounds halves to the even level, but upwards at a half
  let held = -1; // the row that `line` holds: neighbours share the one that lies across their border
  for (let y = 0, to = 0; y < made.height; y++) {
    sum.fill(0);
    for (let n = down.starts[y]; n < down.starts[y + 1]; n++) {
      const row = down.places[n], share = down.shares[n];
      if (row !== held) averageRow(picture, row, across, line);
      held = row;
      for (let i = 0; i < length; i++) sum[i] += share * line[i];
    }
    for (let i = 0; i < length; i++) {
      const level = (sum[i] + 0.5) | 0;
      made.data[to++] = level - sum[i] === 0.5 ? level - (level & even) : level;
    }
  }
  return made;
}

function averageRow(picture, row, across, line) {
  const { starts, places, shares } = across, { data, width } = picture, base = row * width * 3;
  for (let x = 0, to = 0; x + 1 < starts.length; x++) {
    let red = 0, green = 0, blue = 0;
    for (let n = starts[x]; n < starts[x + 1]; n++) {
      const from = base + places[n] * 3, share = shares[n];
      red += share * data[from];
      green += share * data[from + 1];
      blue += share * data[from + 2];
    }
    line[to++] = red;
    line[to++] = green;
    line[to++] = blue;
  }
}

const LEAST = 1e-3; // of a pixel, from which a part of it counts

/** Say of pixels `first` up to `end`, `per` old ones wide, which old ones each covers and by what share. */
function covers(old, first, end, per) {
  const starts = [0], places = [], shares = [];
  for (let n = first; n < end; n++) {
    const from = n * per, to = Math.min(from + per, old);
    for (let place = Math.floor(from + LEAST); place < Math.min(Math.ceil(to - LEAST), old); place++) {
      places.push(place);
      shares.push((Math.min(place + 1, to) - Math.max(place, from)) / (to - from));
    }
    starts.push(places.length);
  }
  return { starts: Int32Array.from(starts), places: Int32Array.from(places), shares: Float64Array.from(shares) };
}

const PARTS = 2048; // into which OpenCV's fixed-point resize divides the way between two pixels

/** Return a picture at another size, by the line between neighbouring pixels. */
export function stretched(picture, width, height) {
  const across = neighbours(picture.width, width), down = neighbours(picture.height, height);
  const made = blank(width, height), { data } = picture;
  let to = 0;
  for (let y = 0; y < height; y++) {
    const upper = down.first[y] * picture.width, lower = down.second[y] * picture.width;
    const high = down.shares[2 * y], low = down.shares[2 * y + 1];
    for (let x = 0; x < width; x++) {
      const left = across.first[x], right = across.second[x];
      const near = across.shares[2 * x], far = across.shares[2 * x + 1];
      for (let channel = 0; channel < 3; channel++) {
        const above = data[(upper + left) * 3 + channel] * near + data[(upper + right) * 3 + channel] * far;
        const below = data[(lower + left) * 3 + channel] * near + data[(lower + right) * 3 + channel] * far;
        made.data[to++] = (((high * (above >> 4)) >> 16) + ((low * (below >> 4)) >> 16) + 2) >> 2;
      }
    }
  }
  return made;
}

function neighbours(old, count) {
  const first = [], second = [], shares = [];
  for (let n = 0; n < count; n++) {
    const place = Math.min(Math.max(((n + 0.5) * old) / count - 0.5, 0), old - 1), before = Math.floor(place);
    first.push(before);
    second.push(Math.min(before + 1, old - 1));
    shares.push(rounded((1 - (place - before)) * PARTS), rounded((place - before) * PARTS));
  }
  return { first, second, shares };
}

const STEPS = 32; // between two pixels, as OpenCV's fixed-point warp has them
const FINE = 1024; // steps in which it adds up places before that

/** Return (size, size) seen through [[a, b, tx], [c, d, ty]] from old to new places; beyond the edges it is mirrored. */
export function warped(picture, [[a, b, tx], [c, d, ty]], size) {
  const area = a * d - b * c, back = [d / area, -b / area, -c / area, a / area];
  const startX = -(back[0] * tx + back[1] * ty), startY = -(back[2] * tx + back[3] * ty);
  const { width, height, data } = picture, made = blank(size, size);
  let to = 0;
  for (let y = 0; y < size; y++) {
    const rowX = rounded((back[1] * y + startX) * FINE) + FINE / STEPS / 2;
    const rowY = rounded((back[3] * y + startY) * FINE) + FINE / STEPS / 2;
    for (let x = 0; x < size; x++) {
      const stepsX = Math.floor((rowX + rounded(back[0] * x * FINE)) / (FINE / STEPS));
      const stepsY = Math.floor((rowY + rounded(back[2] * x * FINE)) / (FINE / STEPS));
      const column = Math.floor(stepsX / STEPS), row = Math.floor(stepsY / STEPS);
      const far = stepsX - column * STEPS, low = stepsY - row * STEPS;
      const left = mirrored(column, width), right = mirrored(column + 1, width);
      const upper = mirrored(row, height) * width, lower = mirrored(row + 1, height) * width;
      for (let channel = 0; channel < 3; channel++) {
        const above = data[(upper + left) * 3 + channel] * (STEPS - far) + data[(upper + right) * 3 + channel] * far;
        const below = data[(lower + left) * 3 + channel] * (STEPS - far) + data[(lower + right) * 3 + channel] * far;
        made.data[to++] = (above * (STEPS - low) + below * low + (STEPS * STEPS) / 2) >> 10; // by STEPS squared
      }
    }
  }
  return made;
}
