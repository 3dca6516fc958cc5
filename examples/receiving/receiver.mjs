// A receiver of HyreLog's webhooks, with nothing but Node: it verifies each request, and acts on each event once.
//
//   WEBHOOK_SECRET=whsec_… node receiver.mjs 8080

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const TOLERANCE = 5 * 60; // seconds
const LARGEST_BODY = 16 * 1024 * 1024;

/** The event that a request carries; throws if it is forged, altered or too old. `body` is the raw Buffer. */
export function verify(secret, headers, body, now = Date.now() / 1000) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!(Math.abs(now - Number(timestamp)) <= TOLERANCE)) {
    throw new Error("webhook-timestamp is missing, or more than five minutes away");
  }
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // While a secret is being rotated there are several signatures, parted by spaces: one that fits is enough.
  const fits = String(headers["webhook-signature"]).split(" ").some((part) => {
    const [version, signature = ""] = part.split(",");
    const given = Buffer.from(signature, "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!fits) {
    throw new Error("no signature in webhook-signature fits");
  }
  return JSON.parse(body.toString("utf8"));
}

// In a real receiver this is a table, written in the same transaction as whatever the event changes.
const seen = new Set();

/** Act on an event unless it was here before; says whether it was new. */
function accept(webhookId, event) {
  const isNew = !seen.has(webhookId);
  seen.add(webhookId);
  return isNew;
}

async function receive(request, response) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > LARGEST_BODY) {
      response.writeHead(413, { Connection: "close" }).end("too large");
      return;
    }
    pieces.push(piece);
  }
  let event;
  try {
    event = verify(process.env.WEBHOOK_SECRET, request.headers, Buffer.concat(pieces));
  } catch (error) {
    response.writeHead(401).end(`refused: ${error.message}`);
    return;
  }
  const isNew = accept(request.headers["webhook-id"], event);
  response.writeHead(200).end(isNew ? "accepted" : "duplicate");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const server = createServer((request, response) => {
    receive(request, response).catch(() => response.destroy()); // the sender went away in the middle
  });
  server.listen(Number(process.argv[2]), "127.0.0.1", () => {
    console.log(`Listening on http://127.0.0.1:${server.address().port}`);
  });
}
