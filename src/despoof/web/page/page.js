// The page: a file or the camera in, the verdict out.

import { open, Trouble } from "./despoof.js";
import { toImageData } from "./picture.js";

const $ = (id) => document.getElementById(id);
const SAID = {
  LIVE: ["Looks live", "The face looks like a person in front of the camera."],
  ATTACK: ["Looks like an attack", "The face looks like a print or a screen, not like a person in front of the camera."],
  UNCERTAIN: ["Uncertain", "It could be either. Take another photo in even light."],
  NO_DECISION: ["Not judged", "The photo cannot be judged. This says nothing about the person."],
};
const LITTLE_ROOM = 1.5; // face widths
const CAMERA_SAID = {
  NotAllowedError: "Allow it for this page in the browser, or choose a photo.",
  NotFoundError: "None is connected. Connect one, or choose a photo.",
  NotReadableError: "Another program holds it. Close that one, or choose a photo.",
};
let guard = null, stream = null, opening = false, busy = false, last = null;

function say(text) {
  $("status").textContent = text;
}

/** Say what went wrong, and take back whatever was shown: after trouble nothing stands as a verdict. */
function refuse(error) {
  $("result").hidden = true;
  last = null;
  say(error instanceof Trouble ? error.message : `Not judged: ${error.message}. Reload the page, or use another browser.`);
  if (!(error instanceof Trouble)) console.error(error);
}

async function start() {
  let failed = false; // other files may arrive after the one that did not
  try {
    guard = await open(undefined, (loaded, total) => {
      if (!failed) say(`Loading: ${Math.round(loaded / 1e6)} of ${Math.round(total / 1e6)} MB, once.`);
    });
  } catch (error) {
    failed = true;
    return refuse(error);
  }
  const { package: version, weights, licence, runtime } = guard.about;
  $("versions").textContent =
    `Despoof ${version}, weights ${Object.values(weights).join(", ")} (${licence}), ONNX Runtime Web ${runtime.version} (MIT).`;
  $("file").disabled = false;
  $("camera").disabled = !navigator.mediaDevices?.getUserMedia;
  say("Ready.");
  // Then the page is kept, and needs no network at its next visit; without that it judges all the same.
  navigator.serviceWorker?.register("offline.js").catch((error) => console.info(`Not kept: ${error.message}`));
}

/** Judge what `read` gives. One at a time: a photo that comes while another is judged is not taken. */
async function judge(read) {
  if (busy || !guard) return;
  busy = true;
  $("result").hidden = true;
  last = null;
  say("Judging\u2026");
  await new Promise((done) => setTimeout(done)); // so that the line is seen before the work begins
  try {
    show((last = await guard.check(await read())));
  } catch (error) {
    refuse(error);
  } finally {
    busy = false;
  }
}

function show(verdict) {
  const [title, meaning] = SAID[verdict.decision] ?? SAID.NO_DECISION;
  const { attack_below: low, live_from: high } = guard.about.judge.thresholds;
  $("result").dataset.decision = verdict.decision;
  $("verdict").textContent = title;
  $("meaning").textContent = meaning;
  $("liveness").textContent = verdict.liveness === null ? "" :
    `Liveness ${verdict.liveness.toFixed(3)} of 1, higher is more live. ` +
    `Attack below ${low.toFixed(3)}, live from ${high.toFixed(3)}.` +
    (verdict.room < LITTLE_ROOM ? " Little of the surroundings is seen." : "");
  $("reasons").replaceChildren(...verdict.reasons.map(({ sentence }) => {
    const item = document.createElement("li");
    item.textContent = sentence;
    return item;
  }));
  paint("face", verdict.face);
  paint("counterpart", null);
  paint("map", null);
  $("explain").hidden = !guard.about.explain || verdict.liveness === null;
  $("result").hidden = false;
  const spent = Object.values(verdict.milliseconds).reduce((sum, one) => sum + one, 0);
  say(`Done in ${Math.round(spent)} ms: ${title}.`);
}

function paint(name, picture) {
  $(`${name}-figure`).hidden = !picture;
  if (!picture) return;
  $(name).width = picture.width;
  $(name).height = picture.height;
  $(name).getContext("2d").putImageData(toImageData(picture), 0, 0);
}

async function explain() {
  const own = last;
  $("explain").hidden = true;
  say(`Making its counterpart. The first time ${Math.round(guard.about.files[guard.about.explain.file].bytes / 1e6)} MB are loaded.`);
  try {
    const made = await guard.explain(own);
    if (own !== last) return; // another photo came meanwhile
    say(made ? "Done." : "The generator gave no picture. The verdict stands without it.");
    paint("counterpart", made?.counterpart);
    paint("map", made?.map);
  } catch (error) {
    if (own === last) say(`No counterpart: ${error.message} The verdict stands without it.`);
  }
}

async function openCamera() {
  if (stream || opening) return; // a second click while the browser asks for permission would open it twice
  opening = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
    $("video").srcObject = stream;
    await $("video").play();
    $("viewfinder").hidden = false;
    $("take").focus();
  } catch (error) {
    closeCamera();
    say(`The camera cannot be used. ${CAMERA_SAID[error.name] ?? `${error.message}. Choose a photo.`}`);
  } finally {
    opening = false;
  }
}

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("video").srcObject = null;
  $("viewfinder").hidden = true;
  $("camera").focus();
}

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) judge(() => guard.read(file));
  $("file").value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    const file = name === "drop" && event.dataTransfer.files[0];
    if (file) judge(() => guard.read(file));
  });
}
$("camera").addEventListener("click", openCamera);
$("close").addEventListener("click", closeCamera);
$("take").addEventListener("click", () => judge(() => {
  const picture = guard.readVideo($("video"));
  closeCamera();
  return picture;
}));
$("explain").addEventListener("click", explain);
start();
