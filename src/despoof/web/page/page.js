// The page: a file or the camera in, the verdict out.

import { open, Trouble } from "./despoof.js";
import { takePhotos } from "./photo.js";
import { toImageData } from "./picture.js";
import { $, say, writeVerdict } from "./words.js";

let guard = null, busy = false, last = null;

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
  const title = writeVerdict(verdict, guard.about.judge.thresholds);
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

takePhotos((file) => judge(() => guard.read(file)), (video, close) => judge(() => {
  const picture = guard.readVideo(video);
  close();
  return picture;
}));
$("explain").addEventListener("click", explain);
start();
