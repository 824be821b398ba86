// A receiver of paygate's webhooks to copy from, for Node: verified, and each event done once.
//
// Run it beside a gateway, with the secret that creating the webhook endpoint answered:
//
//     WEBHOOK_SECRET=whsec_... node receiver.mjs 8080 shop.jsonl
//
// Its ten lines of work are `receive`. The rest is Node's own web server, and a file to which each
// event adds a line; yours are your framework's and your own database.

import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [PORT, FILE] = process.argv.slice(2);
const done = new Set(); // the ids of events
const payments = new Map(); // the newest state of each

/** Whether one of the signatures is ours, over these very bytes, and of the last five minutes. */
export function verify(secret, body, headers) {
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signatures } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(at)) <= 300)) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const wanted = createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest();
  return String(signatures).split(" ").some((signature) => {
    const given = Buffer.from(signature.replace(/^v1,/, ""), "base64");
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  });
}

/** The status to answer. Anything but 2xx, and an exception too, means: send it again. */
function receive(body, headers) {
  if (!verify(process.env.WEBHOOK_SECRET, body, headers)) return 400;
  const event = JSON.parse(body);
  if (!done.has(event.id)) {
    // The claim and the work are one line: both are written, or neither.
    const line = { event: event.id, payment: work(event) };
    appendFileSync(FILE, `\n${JSON.stringify(line)}`, { flush: true });
    keep(line);
  }
  return 204;
}

/**
 * What your shop does. In the transaction of the claim, so that what failed is done again.
 *
 * Events come in any order: an older version of an object changes nothing.
 */
function work(event) {
  const { id, status, reference } = event.data.object;
  const known = payments.get(id);
  if (known && known.version >= event.object_version) return known;
  return { id, version: event.object_version, status, reference };
}

function keep({ event, payment }) {
  done.add(event);
  payments.set(payment.id, payment);
}

/** Node's own web server. */
function serve(request, response) {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    let status = 500;
    try {
      status = receive(Buffer.concat(parts), request.headers);
    } finally {
      response.writeHead(status).end();
    }
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.on("uncaughtException", (error) => console.error(error)); // and go on
  for (const line of existsSync(FILE) ? readFileSync(FILE, "utf8").split("\n") : []) {
    try {
      keep(JSON.parse(line));
    } catch {} // a line that a crash cut off was never acknowledged
  }
  createServer(serve).listen(Number(PORT), "127.0.0.1");
}
