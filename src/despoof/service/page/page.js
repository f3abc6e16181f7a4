// The page of the service: a photo goes to this server, the verdict comes back.

import { takePhotos } from "./photo.js";
import { $, say, writeVerdict } from "./words.js";

const LONGEST = 1600; // pixels of a photo's longer side; more shows no more of a face that fills the picture
let key = "", last = null, newest = 0;

async function ask(photo, explain) {
  const headers = key ? { Authorization: "Bearer " + key } : {};
  return fetch("v1/check?explain=" + explain, { method: "POST", body: photo, headers, credentials: "omit" });
}

async function shrink(photo) {
  const image = await createImageBitmap(photo).catch(() => null); // what the browser cannot read is sent as it is
  const scale = image ? LONGEST / Math.max(image.width, image.height) : 1;
  if (scale >= 1) return photo;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(image.width * scale);
  canvas.height = Math.round(image.height * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
}

async function judge(chosen) {
  const own = ++newest;
  last = chosen;
  $("result").hidden = true;
  say("Judging\u2026");
  try {
    const photo = await shrink(chosen);
    let response = await ask(photo, true), answer = await response.json();
    if (answer.error === "no_explanations") { response = await ask(photo, false); answer = await response.json(); }
    if (own !== newest) return;
    if (response.ok) show(answer); else refuse(response.status, answer);
  } catch (error) {
    if (own === newest) say("No answer from the service. It may be down, or the photo is too large for it.");
  }
}

function refuse(status, answer) {
  say("Not judged: " + answer.detail);
  if (status !== 401) return;
  $("door").hidden = false;
  $("key").focus();
}

function show(answer) {
  const title = writeVerdict(answer, answer.profile);
  showPictures(answer.pictures);
  $("versions").textContent = "Despoof " + answer.model.package + ", weights " + answer.model.name + " (" +
    Object.values(answer.model.weights).join(", ") + "), profile " + answer.profile.name + " " +
    (answer.profile.point ? answer.profile.point + " " : "") + answer.profile.version + ", request " + answer.request_id + ".";
  $("result").hidden = false;
  say("Done: " + title + ".");
}

function showPictures(pictures) {
  $("pictures").hidden = !pictures;
  if (!pictures) return;
  for (const name of ["face", "counterpart", "departure", "cue"]) {
    const found = Boolean(pictures[name]);
    $(name).hidden = !found;
    if (found) $(name).src = "data:image/png;base64," + pictures[name]; else $(name).removeAttribute("src");
  }
  const both = Boolean(pictures.counterpart);
  $("compare").hidden = $("edge").hidden = !both;
  $("departure-figure").hidden = !pictures.departure;
  $("departs").textContent = pictures.departs || "";
  $("cue-figure").hidden = Boolean(pictures.departure) || !pictures.cue;
  $("face-caption").textContent = both ? "Left of the line the face as the camera saw it, right of it what the generator made of it." : "The face.";
  slide();
}

function slide() {
  const face = $("slider").value; // the line stands over the thumb: face to its left
  $("stack").style.setProperty("--line-at", face + "%");
  $("slider").setAttribute("aria-valuetext", face + " percent face, the rest counterpart");
}

function takePhoto(video, close) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((photo) => { close(); judge(photo); }, "image/png");
}

takePhotos(judge, takePhoto);
$("slider").addEventListener("input", slide);
$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  $("door").hidden = true;
  if (last) judge(last);
});
