#!/usr/bin/env node
/**
 * Posts each event of cellnet to a URL, in order, and goes on after a restart where it was:
 *
 *     webhook.mjs --url https://inventory.example/cellnet --position /var/lib/webhook/position
 *
 * The receiver gets one event a request, as JSON. It gets an event again where it or this program
 * ended before its answer was noted. README.md tells the rest.
 */
import { spawn } from 'node:child_process';
import { existsSync, fsyncSync, openSync, closeSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    position: { type: 'string' },
    'token-file': { type: 'string' },
    namespace: { type: 'string' },
    range: { type: 'string' },
    node: { type: 'string' },
    cnictl: { type: 'string', default: 'cnictl' },
  },
});
for (const name of ['url', 'position']) if (!options[name]) end(`expected --${name}`, 2);

/** Longest wait for an answer, and between two attempts, in milliseconds. */
const ANSWER_MS = 30_000;
const LONGEST_PAUSE_MS = 30_000;
/** Answers after which the same event is sent again. Any other refusal is told, and left. */
const AGAIN = new Set([401, 403, 404, 408, 425, 429]);

function say(text) {
  process.stderr.write(`webhook: ${text}\n`);
}

function end(text, status) {
  say(text);
  process.exit(status);
}

/** The file has the former position or this one, whenever the machine stops. */
function store(position) {
  const beside = `${options.position}.new`;
  const file = openSync(beside, 'w', 0o644);
  writeFileSync(file, `${position}\n`);
  fsyncSync(file);
  closeSync(file);
  renameSync(beside, options.position);
}

function stored() {
  return existsSync(options.position) ? readFileSync(options.position, 'utf8').trim() : '';
}

async function attempt(event) {
  const file = options['token-file'];
  const token = file && readFileSync(file, 'utf8').trim();
  const reply = await fetch(options.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'idempotency-key': `${event.position}`,
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(event),
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  await reply.arrayBuffer();
  const wait = Number(reply.headers.get('retry-after')) * 1000;
  return { status: reply.status, wait: wait > 0 ? wait : 0 };
}

/** Sends the event again and again until the receiver has it, or refuses it for good. */
async function post(event) {
  for (let n = 0; ; n++) {
    const { status, wait, reason } = await attempt(event).catch((error) => ({
      status: 0,
      wait: 0,
      reason: error.cause?.message || error.message,
    }));
    if (status >= 200 && status < 300) return;
    const why = reason ?? `it answers ${status}`;
    if (status >= 400 && status < 500 && !AGAIN.has(status)) {
      say(`${event.position} ${event.type} is refused, and left: ${why}`);
      return;
    }
    if (n === 0) say(`${event.position} ${event.type} is sent again and again: ${why}`);
    const own = Math.min(LONGEST_PAUSE_MS, 250 * 2 ** Math.min(n, 10)) * (0.5 + Math.random() / 2);
    await pause(Math.max(own, Math.min(wait, 10 * LONGEST_PAUSE_MS)));
  }
}

const filters = ['namespace', 'range', 'node'].flatMap((name) =>
  options[name] ? [`--${name}`, options[name]] : [],
);
const begin = stored() === '' ? [] : ['--after', stored()];
const words = ['events', '--follow', '--bookmarks', '-o', 'json', ...filters, ...begin];
// It waits for this program: etcd keeps what is not read yet.
const events = spawn(options.cnictl, words, { stdio: ['ignore', 'pipe', 'inherit'] });
events.on('error', (error) => end(error.message, 1));
process.once('exit', () => events.kill());
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(0));

let rest = '';
for await (const part of events.stdout.setEncoding('utf8')) {
  const lines = (rest + part).split('\n');
  rest = lines.pop();
  for (const line of lines) {
    const event = JSON.parse(line);
    if (event.type !== 'bookmark') await post(event);
    if (event.position !== null) store(event.position);
  }
}
end('cnictl events has ended', 1);
