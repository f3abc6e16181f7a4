// Service worker: keeps the page in the browser, so that it judges without a network after its first visit.
//
// Models and runtime are asked for by their hash (models.js, which keeps them once they are proved), so a kept one is
// never an old one. All else is asked of the server first, and taken from what was kept only where it does not answer.

const KEPT = "despoof";

addEventListener("install", (event) => event.waitUntil(keepPage().then(() => skipWaiting())));
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(registration.scope)) event.respondWith(answer(event.request));
});

async function keepPage() {
  const about = "despoof.json", cache = await caches.open(KEPT);
  const { page } = await (await fetch(about, { cache: "no-cache" })).json();
  await cache.addAll(["./", about, ...page].map((name) => new Request(name, { cache: "no-cache" })));
}

async function answer(request) {
  const cache = await caches.open(KEPT);
  if (new URL(request.url).searchParams.has("sha256")) return (await cache.match(request)) ?? fetch(request);
  try {
    const found = await fetch(request.url, { cache: "no-cache" }); // or the browser may not ask
    if (found.ok) await cache.put(request, found.clone()).catch(() => {}); // a full disk keeps nothing, and judges
    return found;
  } catch {
    return (await cache.match(request)) ?? Response.error();
  }
}
