// What lies around a face: pictures about its box, near and far, cut as Python cuts them.

import { cut, rounded, shrunk, stretched } from "./picture.js";

/** Return one (size, size) picture for each scale: so many boxes wide, less where the picture has no more. */
export function surroundings(picture, box, { scales, size }) {
  return scales.map((scale) => {
    const crop = clampedCrop(picture, box, scale);
    if (crop.width === size && crop.height === size) return crop;
    return (Math.min(crop.width, crop.height) >= size ? shrunk : stretched)(crop, size, size);
  });
}

/** Return how many boxes the near picture spans, at most the first scale. */
export function room(picture, [, , width, height], scales) {
  return Math.min(scales[0], picture.width / Math.max(width, 1e-6), picture.height / Math.max(height, 1e-6));
}

function clampedCrop(picture, [left, top, boxWidth, boxHeight], scale) {
  scale = Math.min(scale, picture.width / boxWidth, picture.height / boxHeight);
  const width = boxWidth * scale, height = boxHeight * scale;
  left = Math.min(Math.max(left + (boxWidth - width) / 2, 0), picture.width - width);
  top = Math.min(Math.max(top + (boxHeight - height) / 2, 0), picture.height - height);
  const x = Math.trunc(left), y = Math.trunc(top);
  const right = Math.max(x + 1, rounded(left + width)), bottom = Math.max(y + 1, rounded(top + height));
  return cut(picture, x, y, Math.min(right, picture.width), Math.min(bottom, picture.height));
}
