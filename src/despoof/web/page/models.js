// The files of this folder: fetched from where the page came from, compared with their hashes, opened in ONNX Runtime.

import { Trouble } from "./picture.js";

export const FORMAT = "despoof-web/1";
const KEPT = "despoof"; // the cache of offline.js
// The smallest module with an instruction of WebAssembly SIMD: a function that splats a constant over a vector.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];

/** Raise Trouble where this browser cannot judge. */
export function requireBrowser() {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new Trouble("This browser has no WebAssembly SIMD. Update it, or use one of 2023 or later.");
  }
  if (!globalThis.crypto?.subtle) {
    throw new Trouble("The page is not in a secure context, so its files cannot be proved. Open it by https:// or at localhost.");
  }
}

/** Return what despoof.json says. */
export async function readAbout(base) {
  const url = new URL("despoof.json", base);
  const answer = await get(url, { cache: "no-cache" });
  const about = await answer.json().catch(() => null);
  if (about?.format !== FORMAT) {
    throw new Trouble(`${url} is no ${FORMAT}. Export the folder again, and reload past the browser's cache.`);
  }
  return about;
}

/** Return the bytes of a file that despoof.json lists; a missing or another one is Trouble. */
export async function fetchFile(base, about, name, report = () => {}) {
  const url = urlOf(base, about, name), { bytes, sha256 } = about.files[name];
  const answer = await get(url);
  const data = new Uint8Array(await answer.arrayBuffer().catch(() => {
    throw new Trouble(`${new URL(name, base)} broke off. Check the connection and reload.`);
  }));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (data.length !== bytes || found !== sha256) {
    const plain = new URL(name, base);
    throw new Trouble(`${plain} is not the file that was exported. Export the folder again, and reload past the browser's cache.`);
  }
  await keep(url, data, name.endsWith("js") ? "text/javascript" : "application/octet-stream");
  report(bytes);
  return data;
}

/** Return where a file is asked for: by its hash too, so that what a browser kept of an older export is not taken. */
function urlOf(base, about, name) {
  const url = new URL(name, base);
  url.searchParams.set("sha256", about.files[name].sha256);
  return url;
}

/** Keep a proved file for the next visit, in place of what its path was before; a browser that keeps nothing judges too. */
async function keep(url, data, type) {
  try {
    const cache = await caches.open(KEPT);
    if (await cache.match(url)) return;
    await cache.put(url, new Response(data, { headers: { "Content-Type": type } }));
    const older = await cache.keys(url, { ignoreSearch: true });
    await Promise.all(older.filter((one) => one.url !== url.href).map((one) => cache.delete(one)));
  } catch (error) {
    console.info(`${url.pathname} is not kept for the next visit: ${error.message}`);
  }
}

async function get(url, how = {}) {
  const plain = url.href.replace(url.search, "");
  const answer = await fetch(url, how).catch(() => {
    throw new Trouble(`${plain} cannot be reached. Start the server of this folder and reload.`);
  });
  if (!answer.ok) throw new Trouble(`${plain} is missing (${answer.status}). Export the folder again.`);
  return answer;
}

/** Return ONNX Runtime, ready for `openModel`; its WebAssembly is the verified file and is fetched from nowhere else. */
export async function startRuntime(base, about, report) {
  const { script, wasm } = about.runtime;
  const [, wasmBinary] = await Promise.all([script, wasm].map((name) => fetchFile(base, about, name, report)));
  const runtime = await import(urlOf(base, about, script));
  runtime.env.wasm.wasmBinary = wasmBinary;
  runtime.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
  runtime.env.logLevel = "error";
  return runtime;
}

/** Return a function from {name: [type, array, shape]} to {name: array} that runs a model's graph. */
export async function openModel(runtime, data, name) {
  const session = await runtime.InferenceSession.create(data, { executionProviders: ["wasm"] }).catch((error) => {
    throw new Trouble(`${name} cannot be opened (${error.message}). Close other pages for memory, or export again.`);
  });
  return async (given) => {
    const inputs = Object.entries(given).map(([input, tensor]) => [input, new runtime.Tensor(...tensor)]);
    const found = await session.run(Object.fromEntries(inputs));
    return Object.fromEntries(Object.entries(found).map(([output, tensor]) => [output, tensor.data]));
  };
}
