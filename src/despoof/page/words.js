// What a page says of a verdict.

export const $ = (id) => document.getElementById(id);

const SAID = {
  LIVE: ["Looks live", "The face looks like a person in front of the camera."],
  ATTACK: ["Looks like an attack", "The face looks like a print or a screen, not like a person in front of the camera."],
  UNCERTAIN: ["Uncertain", "It could be either. Take another photo in even light."],
  NO_DECISION: ["Not judged", "The photo cannot be judged. This says nothing about the person."],
};
const LITTLE_ROOM = 1.5; // face widths

export function say(text) {
  $("status").textContent = text;
}

/** Write decision, liveness between its thresholds, and reasons; return the title. An unknown decision is none. */
export function writeVerdict({ decision, liveness, room, reasons }, { attack_below: low, live_from: high }) {
  const [title, meaning] = SAID[decision] ?? SAID.NO_DECISION;
  $("result").dataset.decision = decision;
  $("verdict").textContent = title;
  $("meaning").textContent = meaning;
  $("liveness").textContent = liveness === null ? "" :
    `Liveness ${liveness.toFixed(3)} of 1, higher is more live. ` +
    `Attack below ${low.toFixed(3)}, live from ${high.toFixed(3)}.` +
    (room !== null && room < LITTLE_ROOM ? " Little of the surroundings is seen." : "");
  $("reasons").replaceChildren(...reasons.map(({ sentence }) => {
    const item = document.createElement("li");
    item.textContent = sentence;
    return item;
  }));
  return title;
}
