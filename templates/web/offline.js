// The page's service worker: it keeps every file on the first visit and answers from what it keeps.
importScripts("files.js"); // sets self.PAGE = {version, files}

const prefix = `zooc ${new URL(self.registration.scope).pathname} `;
const name = prefix + self.PAGE.version;

self.addEventListener("install", (event) => {
  const keep = caches.open(name).then((cache) => cache.addAll(["./", ...self.PAGE.files]));
  event.waitUntil(keep.then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const isStale = (other) => other.startsWith(prefix) && other !== name;
  const clean = caches.keys().then((all) => Promise.all(all.filter(isStale).map((other) => caches.delete(other))));
  event.waitUntil(clean.then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const kept = caches.open(name).then((cache) => cache.match(event.request, { ignoreSearch: true }));
  event.respondWith(kept.then((response) => response ?? fetch(event.request)));
});
