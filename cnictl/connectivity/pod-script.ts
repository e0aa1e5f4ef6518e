/**
 * The program of all pods of the test, for `node -e` of version 20 or newer. It needs no other
 * file. Its environment: NAME, LISTEN (`{tcp, udp}`: ports to serve at) and TASKS (a list of `Task`
 * of ask.ts). A pod with tasks does them, and prints one line of JSON for each, at last
 * `{"done":true}`. It stays, so that the operator finds the client where a row failed.
 */
export const POD_SCRIPT = String.raw`
const net = require('node:net');
const dgram = require('node:dgram');
const fs = require('node:fs');
const os = require('node:os');
const { NAME, LISTEN = '{}', TASKS } = process.env;
const WITHIN_MS = 3000, SETTLE_MS = 15000, MOVE_MS = 40000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const plain = (address = '') => address.replace(/^::ffff:/, '');
const print = (line) => process.stdout.write(JSON.stringify(line) + '\n');

function serveTcp(port) {
  net.createServer((socket) => {
    const answer = () => socket.write(JSON.stringify({ name: NAME, seen: plain(socket.remoteAddress) }) + '\n');
    answer();
    socket.on('data', answer).on('error', () => socket.destroy());
  }).listen(port);
}
function serveUdp(type, port) {
  const socket = dgram.createSocket({ type, ipv6Only: type === 'udp6' });
  socket.on('message', (data, from) => {
    const answer = JSON.stringify({ name: NAME, seen: from.address, bytes: data.length });
    socket.send(answer.padEnd(data.length), from.port, from.address);
  });
  socket.on('error', () => socket.close());
  socket.bind(port);
}
function line(socket) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer')), WITHIN_MS);
    const end = (act, value) => { clearTimeout(timer); socket.removeAllListeners('data'); act(value); };
    socket.on('data', (data) => end(resolve, JSON.parse(String(data).split('\n')[0])));
    socket.once('error', (error) => end(reject, new Error(error.code || error.message)));
    socket.once('close', () => end(reject, new Error('closed')));
  });
}
async function tcp({ address, port }) {
  const socket = net.connect(port, address);
  try {
    return { ...(await line(socket)), from: plain(socket.localAddress) };
  } finally {
    socket.on('error', () => undefined).destroy();
  }
}
function open({ address, port }) {
  const socket = net.connect(port, address);
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error('no answer')), WITHIN_MS).unref();
    socket.once('connect', () => resolve({})).once('error', (error) => reject(new Error(error.code)));
  }).finally(() => socket.on('error', () => undefined).destroy());
}
/** A connected socket learns of ICMP errors. */
function udpSocket({ address, port }) {
  const socket = dgram.createSocket(net.isIPv6(address) ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.connect(port, address, () => { socket.removeListener('error', reject); resolve(socket); });
  });
}
/** One packet may get lost: it is sent again each second. */
function exchange(socket, data, bytes) {
  return new Promise((resolve, reject) => {
    const end = (act, value) => {
      clearTimeout(timer);
      clearInterval(again);
      for (const event of ['message', 'error']) socket.removeAllListeners(event);
      socket.on('error', () => undefined);
      act(value);
    };
    const timer = setTimeout(() => end(reject, new Error('no answer')), WITHIN_MS);
    const again = setInterval(() => socket.send(data), 1000);
    socket.on('message', (answer) => { if (!bytes || answer.length === bytes) end(resolve, answer); });
    socket.on('error', (error) => end(reject, new Error(error.code || error.message)));
    socket.send(data);
  });
}
async function udp(ask) {
  const socket = await udpSocket(ask);
  try {
    return { ...JSON.parse(await exchange(socket, 'asked')), from: socket.address().address };
  } finally { socket.close(); }
}
async function large(ask) {
  const socket = await udpSocket(ask);
  try {
    await exchange(socket, 'asked');
    const answer = await exchange(socket, Buffer.alloc(ask.bytes, 'x'), ask.bytes);
    return { ...JSON.parse(answer), received: answer.length, from: socket.address().address };
  } finally { socket.close(); }
}
async function many({ count, over, ...ask }) {
  const answers = {};
  for (let i = 0; i < count; i++) {
    const { name, error } = await attempt(DO[over], ask);
    const key = name || error;
    answers[key] = (answers[key] || 0) + 1;
    if (error === 'no answer') break;
  }
  return { answers };
}
/** RFC 1035: one question for A. */
async function dns({ service, ...ask }) {
  const lines = fs.readFileSync('/etc/resolv.conf', 'utf8').split(/\s+/);
  const domain = (lines.find((word) => /^svc\../.test(word)) || 'svc.cluster.local').replace(/\.$/, '');
  const labels = (service + '.' + domain).split('.').map((text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]));
  const question = Buffer.concat([Buffer.from('ce1101000001000000000000', 'hex'), ...labels, Buffer.from('0000010001', 'hex')]);
  const socket = await udpSocket(ask);
  try {
    const answer = await exchange(socket, question);
    const addresses = [];
    let at = question.length;
    for (let i = 0; i < answer.readUInt16BE(6); i++) {
      while (answer[at] !== 0 && answer[at] < 192) at += answer[at] + 1;
      at += answer[at] === 0 ? 1 : 2;
      const [type, length] = [answer.readUInt16BE(at), answer.readUInt16BE(at + 8)];
      if (type === 1) addresses.push([...answer.subarray(at + 10, at + 14)].join('.'));
      at += 10 + length;
    }
    const code = answer[3] & 15;
    return code === 0 ? { addresses } : { addresses, error: 'DNS answers with code ' + code };
  } finally { socket.close(); }
}
/** Says where it failed. */
async function step(what, work) {
  try { return await work; } catch (error) { throw new Error(what + ': ' + (error.code || error.message)); }
}
async function keptTcp(ask, other) {
  for (let i = 0; i < 100; i++) {
    const socket = net.connect(ask.port, ask.address);
    const { name } = await line(socket);
    socket.removeAllListeners('close');
    if (name !== other) return socket;
    socket.on('error', () => undefined).destroy();
  }
  throw new Error('all of 100 went to ' + other);
}
async function move(ask) {
  const serverOf = async (socket) => JSON.parse(await exchange(socket, 'asked')).name;
  const socket = await udpSocket(ask);
  const movedFrom = await step('the UDP connection', serverOf(socket));
  const kept = await step('a TCP connection to another endpoint', keptTcp(ask, movedFrom));
  print({ leaver: movedFrom });
  const talk = async () => {
    kept.write('again\n');
    const { name } = await step('the open TCP connection', line(kept));
    kept.removeAllListeners('close');
    return name;
  };
  const end = Date.now() + MOVE_MS;
  let movedTo = movedFrom;
  while (movedTo === movedFrom && Date.now() < end) {
    await sleep(200);
    await talk();
    movedTo = await serverOf(socket).catch(() => movedTo);
  }
  return { name: await talk(), movedFrom, movedTo };
}
const DO = { tcp, udp, many, open, large, dns, move };
async function attempt(act, ask) {
  const began = Date.now();
  try {
    return { ...(await act(ask)), ms: Date.now() - began };
  } catch (error) {
    return { error: error.code || error.message, ms: Date.now() - began };
  }
}
/** Waits until the bridge has the Service, with all its endpoints. */
async function settle({ ask, until }, end) {
  const act = ask.kind === 'many' ? DO[ask.over] : ask.kind === 'move' ? tcp : ask.kind === 'large' ? udp : DO[ask.kind];
  const missing = new Set(Array.isArray(until) ? until : []);
  while (Date.now() < end) {
    const { error, name } = await attempt(act, ask);
    if (name) missing.delete(name);
    if (until === 'refusal' ? error === 'ECONNREFUSED' : !error && missing.size === 0) return;
    // Further endpoints come soon, each connection to one of them.
    await sleep(missing.size > 0 && !error ? 20 : 300);
  }
  print({ unsettled: ask });
}
async function main() {
  print({ subnets: Object.values(os.networkInterfaces()).flat().map(({ cidr }) => cidr).filter(Boolean) });
  const { tcp: tcpPort, udp: udpPort } = JSON.parse(LISTEN);
  if (tcpPort) serveTcp(tcpPort);
  if (udpPort) for (const type of ['udp4', 'udp6']) serveUdp(type, udpPort);
  if (!TASKS) return;
  const tasks = JSON.parse(TASKS);
  const end = Date.now() + SETTLE_MS;
  await Promise.all(tasks.filter(({ until }) => until !== 'nothing').map((task) => settle(task, end)));
  const left = [...tasks.entries()];
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [task, { ask }] = next;
      print({ task, outcome: await attempt(DO[ask.kind], ask) });
    }
  };
  await Promise.all([1, 2, 3, 4].map(worker));
  print({ done: true });
  // Also a client that serves nothing stays.
  setInterval(() => undefined, 3600000);
}
process.on('SIGTERM', () => process.exit(0));
void main();
`;
