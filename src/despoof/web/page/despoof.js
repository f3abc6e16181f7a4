// The whole way for one picture, in this browser: picture -> verdict. Nothing is sent anywhere.
//
//   import { open } from "./despoof.js";
//   const guard = await open();
//   const { decision, liveness, reasons } = await guard.check(await guard.read(file));

import { align } from "./align.js";
import { explain } from "./explain.js";
import { findLarge, findSmall, searchedAt } from "./find.js";
import { gate } from "./gate.js";
import { fetchFile, openModel, readAbout, requireBrowser, startRuntime } from "./models.js";
import { readFile, readSource, shrunk, Trouble } from "./picture.js";
import { look } from "./scene.js";
import { room, surroundings } from "./surroundings.js";

export { Trouble };

/** Return what judges, from the folder at `base`. `report(loaded, total)` is told the bytes as they arrive. */
export async function open(base = new URL("./", import.meta.url), report = () => {}) {
  requireBrowser();
  const about = await readAbout(base);
  const first = [about.runtime.script, about.runtime.wasm, about.finder.file, about.judge.file];
  const total = first.reduce((sum, name) => sum + about.files[name].bytes, 0);
  let loaded = 0;
  const arrived = (bytes) => report((loaded += bytes), total);
  const [runtime, ...models] = await Promise.all([
    startRuntime(base, about, arrived),
    ...first.slice(2).map((name) => fetchFile(base, about, name, arrived)),
  ]);
  const finder = await openModel(runtime, models[0], about.finder.file);
  const judge = await openModel(runtime, models[1], about.judge.file);
  return new Guard(base, about, runtime, finder, judge);
}

class Guard {
  #base;
  #runtime;
  #finder;
  #judge;
  #explainer = null;

  constructor(base, about, runtime, finder, judge) {
    this.about = about;
    this.#base = base;
    this.#runtime = runtime;
    this.#finder = finder;
    this.#judge = judge;
  }

  /** Return the picture in a file (Blob); what cannot be read is Trouble. */
  read(file) {
    return readFile(file, this.about.picture);
  }

  /** Return the picture that a playing video shows. */
  readVideo(video) {
    return readSource(video, video.videoWidth, video.videoHeight, this.about.picture);
  }

  /** Judge a picture. Whatever cannot be judged is NO_DECISION with reasons; it is never live. */
  async check(picture) {
    const { about } = this, laps = clock();
    const run = (data, shape) => this.#finder({ input: ["float32", data, shape] });
    const finds = {
      large: (view) => findLarge(view, run, about.finder),
      small: (view) => findSmall(view, run, about.finder),
      searchedAt: (view) => searchedAt(view, about.finder),
    };
    const scene = await look(picture, finds, about.scene);
    laps.end("find");
    const main = scene.faces[0];
    const aligned = main ? align(scene.picture, main.landmarks, about.align) : null;
    const reasons = gate(scene.picture, scene.faces, aligned, about);
    const verdict = { decision: "NO_DECISION", liveness: null, reasons, faces: scene.faces.length, milliseconds: laps.found };
    if (!main) return verdict;
    const side = about.judge.face_size;
    const face = aligned.width === side ? aligned : shrunk(aligned, side, side);
    const around = surroundings(scene.picture, main.box, about.surroundings);
    Object.assign(verdict, { face, surroundings: around, room: room(scene.picture, main.box, about.surroundings.scales) });
    laps.end("align and gate");
    if (reasons.length) return verdict;
    const liveness = await this.#liveness(face, around);
    laps.end("judge");
    const decision = decide(liveness, about.judge.thresholds);
    if (decision !== "NO_DECISION") return { ...verdict, decision, liveness };
    const sentence = `The networks gave ${liveness}. Reload, or export the folder again.`;
    return { ...verdict, reasons: [{ name: "broken", value: null, limit: null, sentence }] };
  }

  async #liveness(face, around) {
    const { face_size: side, surroundings: shape } = this.about.judge;
    const given = { face: ["uint8", face.data, [1, side, side, 3]] };
    if (shape) {
      const both = new Uint8Array(around.reduce((sum, { data }) => sum + data.length, 0));
      around.reduce((start, { data }) => (both.set(data, start), start + data.length), 0);
      given.surroundings = ["uint8", both, [1, ...shape]];
    }
    return (await this.#judge(given)).liveness[0];
  }

  /** Return {counterpart, map} of a verdict's face; null without one, or where this folder has no generator. */
  async explain({ face }) {
    const { explain: part } = this.about;
    if (!part || !face) return null;
    this.#explainer ??= await openModel(this.#runtime, await fetchFile(this.#base, this.about, part.file), part.file);
    return explain(face, this.#explainer, part);
  }
}

/** Return what follows from a liveness; what is no number in 0..1 is NO_DECISION. */
export function decide(liveness, { attack_below: low, live_from: high }) {
  if (typeof liveness !== "number" || !(liveness >= 0 && liveness <= 1 && low <= high)) return "NO_DECISION";
  return liveness >= high ? "LIVE" : liveness >= low ? "UNCERTAIN" : "ATTACK";
}

function clock() {
  const found = {};
  let last = performance.now();
  const end = (name) => {
    const now = performance.now();
    found[name] = now - last;
    last = now;
  };
  return { found, end };
}
