/**
 * A process in a pod that serves and asks over TCP and UDP, as it is told: one JSON object a line on
 * stdin, one answer a line on stdout, with the same `id`.
 */
import dgram from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import net from 'node:net';
import { createInterface } from 'node:readline';

const held = new Map();
const datagramClients = new Map();

const work = {
  /** Serves: answers each connection, and each line on it, with who serves and who asks. */
  serve({ protocol, address, port, name }) {
    return protocol === 'tcp' ? serveTcp(address, port, name) : serveUdp(address, port, name);
  },
  ask({ protocol, address, port, withinMs = 3000 }) {
    return protocol === 'tcp' ? askTcp(address, port, withinMs) : askUdp(address, port, withinMs);
  },
  /** Asks many times, so many at once. Returns how often each server answered, and failures. */
  async many({ address, port, count, atOnce = 20, withinMs = 5000 }) {
    const answers = {};
    let left = count;
    const worker = async () => {
      while (left-- > 0) {
        const { name, error } = await askTcp(address, port, withinMs);
        const key = name ?? error;
        answers[key] = (answers[key] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return answers;
  },
  /** Opens a connection and keeps it. */
  async hold({ key, address, port, withinMs = 3000 }) {
    const socket = net.connect(port, address);
    const first = await lineOf(socket, withinMs);
    held.set(key, socket);
    return JSON.parse(first);
  },
  async talk({ key, withinMs = 3000 }) {
    const socket = held.get(key);
    socket.write('again\n');
    return JSON.parse(await lineOf(socket, withinMs));
  },
  drop({ key }) {
    held.get(key).destroy();
    held.delete(key);
    return {};
  },
  /** Answers DNS questions for the addresses of names (RFC 1035). */
  names({ address, names }) {
    const socket = dgram.createSocket('udp4');
    socket.on('message', (question, from) => {
      const answer = dnsAnswer(question, names);
      socket.send(answer, from.port, from.address);
    });
    return new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.bind(53, address, () => resolve({}));
    });
  },
  async lookUp({ server, name }) {
    const resolver = new Resolver({ timeout: 2000, tries: 2 });
    resolver.setServers([server]);
    return await resolver.resolve4(name);
  },
  /**
   * Asks over UDP from one socket, so that all packets are of one connection. The server answers
   * with as many bytes.
   */
  async datagram({ key, address, port, bytes = 5, withinMs = 1500 }) {
    let socket = datagramClients.get(key);
    if (!socket) {
      socket = dgram.createSocket(net.isIPv6(address) ? 'udp6' : 'udp4');
      socket.on('error', () => undefined);
      datagramClients.set(key, socket);
    }
    return await exchange(socket, address, port, withinMs, 'asked'.padEnd(bytes));
  },
};

function dnsAnswer(question, names) {
  const labels = [];
  let at = 12;
  for (; question[at] !== 0; at += question[at] + 1)
    labels.push(question.subarray(at + 1, at + 1 + question[at]).toString());
  const asked = question.subarray(12, at + 5);
  const ip = names[labels.join('.')];
  const header = Buffer.from(question.subarray(0, 12));
  header.writeUInt16BE(ip === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(ip === undefined ? 0 : 1, 6);
  header.writeUInt32BE(0, 8);
  if (ip === undefined) return Buffer.concat([header, asked]);
  const record = Buffer.from('c00c000100010000000a0004', 'hex');
  return Buffer.concat([header, asked, record, Buffer.from(ip.split('.').map(Number))]);
}

function serveTcp(address, port, name) {
  const server = net.createServer((socket) => {
    const answer = () =>
      socket.write(`${JSON.stringify({ name, seen: socket.remoteAddress, port: socket.remotePort })}\n`);
    answer();
    socket.on('data', answer);
    socket.on('error', () => undefined);
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, address, () => resolve({}));
  });
}

function serveUdp(address, port, name) {
  const socket = dgram.createSocket(net.isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('message', (data, from) => {
    const answer = JSON.stringify({ name, seen: from.address, bytes: data.length });
    socket.send(answer.padEnd(data.length), from.port, from.address);
  });
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.bind(port, address, () => resolve({}));
  });
}

function lineOf(socket, withinMs) {
  return new Promise((resolve, reject) => {
    const done = (result, error) => {
      clearTimeout(timer);
      socket.off('data', onData).off('error', onError).off('close', onClose);
      if (error) reject(error);
      else resolve(result);
    };
    const timer = setTimeout(() => done(undefined, new Error('no answer')), withinMs);
    const onData = (data) => done(data.toString().split('\n')[0]);
    const onError = (error) => done(undefined, new Error(error.code ?? error.message));
    const onClose = () => done(undefined, new Error('closed'));
    socket.on('data', onData).on('error', onError).on('close', onClose);
  });
}

async function askTcp(address, port, withinMs) {
  const began = performance.now();
  const socket = net.connect(port, address);
  try {
    return JSON.parse(await lineOf(socket, withinMs));
  } catch (error) {
    return { error: error.message, ms: performance.now() - began };
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
  }
}

async function askUdp(address, port, withinMs) {
  const socket = dgram.createSocket(net.isIPv6(address) ? 'udp6' : 'udp4');
  try {
    return await exchange(socket, address, port, withinMs);
  } finally {
    socket.close();
  }
}

/** A connected socket learns of ICMP errors. */
function exchange(socket, address, port, withinMs, text = 'asked') {
  const began = performance.now();
  return new Promise((resolve) => {
    const done = (result) => {
      clearTimeout(timer);
      socket.off('message', onMessage).off('error', onError);
      resolve(result);
    };
    const timer = setTimeout(() => done({ error: 'no answer' }), withinMs);
    const onMessage = (data) => done({ ...JSON.parse(data.toString()), received: data.length });
    const onError = (error) => done({ error: error.code, ms: performance.now() - began });
    socket.on('message', onMessage).on('error', onError);
    const send = () => socket.send(text);
    let connected = true;
    try {
      socket.remoteAddress();
    } catch {
      connected = false;
    }
    if (connected) send();
    else socket.connect(port, address, send);
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, ...options } = JSON.parse(line);
  Promise.resolve()
    .then(() => work[command](options))
    .then(
      (result) => console.log(JSON.stringify({ id, result })),
      (error) => console.log(JSON.stringify({ id, error: error.message })),
    );
}
process.exit(0);
