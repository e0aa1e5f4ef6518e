import { createHash, randomBytes } from 'node:crypto';
import type { Namespace } from './netns.ts';
import { run } from './proc.ts';

const SERVER = `
const { createHash } = require('node:crypto');
const hash = createHash('sha256');
require('node:net').createServer((socket) => {
  socket.on('data', (chunk) => hash.update(chunk));
  socket.on('end', () => { process.stdout.write(hash.digest('hex')); socket.end(); process.exit(0); });
}).listen(7777, process.argv[1], () => process.stderr.write('ready'));
setTimeout(() => process.exit(1), 20000);
`;

const CLIENT = `
const connect = (tries) => {
  const socket = require('node:net').connect(7777, process.argv[1]);
  socket.on('error', (error) => tries > 0 ? setTimeout(connect, 100, tries - 1) : (console.error(error.message), process.exit(1)));
  socket.on('connect', () => {
    socket.on('close', () => process.exit(0));
    process.stdin.pipe(socket);
  });
};
connect(50);
setTimeout(() => process.exit(1), 20000);
`;

/**
 * Sends `bytes` bytes over TCP from namespace `from` to `ip` in namespace `to`. Throws an Error
 * when the SHA-256 of the received data differs.
 */
export async function tcpTransfer(from: Namespace, to: Namespace, ip: string, bytes: number): Promise<void> {
  const data = randomBytes(bytes).toString('base64').slice(0, bytes);
  const [received, sent] = await Promise.all([
    run(process.execPath, ['-e', SERVER, ip], { netns: to.name, timeoutMs: 25_000 }),
    run(process.execPath, ['-e', CLIENT, ip], { netns: from.name, input: data, timeoutMs: 25_000 }),
  ]);
  if (sent.code !== 0) throw new Error(`sending ended with status ${String(sent.code)}: ${sent.stderr}`);
  const expected = createHash('sha256').update(data).digest('hex');
  if (received.stdout !== expected) throw new Error(`${ip} received something else than was sent`);
}
