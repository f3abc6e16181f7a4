// Where a photo comes from: a file that is chosen or dropped, or the camera.

import { $, say } from "./words.js";

const CAMERA_SAID = {
  NotAllowedError: "Allow it for this page in the browser, or choose a photo.",
  NotFoundError: "None is connected. Connect one, or choose a photo.",
  NotReadableError: "Another program holds it. Close that one, or choose a photo.",
};

/** Call `onFile(file)` for a file, and `onFrame(video, close)` for a picture of the camera, which `close()` then closes. */
export function takePhotos(onFile, onFrame) {
  let stream = null, opening = false;

  async function open() {
    if (stream || opening) return; // a second click while the browser asks for permission would open it twice
    opening = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
      $("video").srcObject = stream;
      await $("video").play();
      $("viewfinder").hidden = false;
      $("take").focus();
    } catch (error) {
      close();
      say(`The camera cannot be used. ${CAMERA_SAID[error.name] ?? `${error.message}. Choose a photo.`}`);
    } finally {
      opening = false;
    }
  }

  function close() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    $("video").srcObject = null;
    $("viewfinder").hidden = true;
    $("camera").focus();
  }

  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) onFile(file);
    $("file").value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
      const file = name === "drop" && event.dataTransfer.files[0];
      if (file) onFile(file);
    });
  }
  $("camera").addEventListener("click", open);
  $("close").addEventListener("click", close);
  $("take").addEventListener("click", () => onFrame($("video"), close));
  $("camera").hidden = !navigator.mediaDevices?.getUserMedia;
}
