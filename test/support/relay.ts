import { createServer, connect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { startDaemon } from './proc.ts';

/**
 * Runs inside the namespace. A unix socket's place is a file, which both namespaces see.
 */
const INSIDE = `
const { createServer, connect } = require('node:net');
const [path, host, port] = process.argv.slice(1);
const join = (a, b) => { a.pipe(b).pipe(a); a.on('error', () => b.destroy()); b.on('error', () => a.destroy()); };
createServer((from) => join(from, connect(Number(port), host))).listen(path, () => console.log('ready'));
`;

export interface Relay {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Makes a TCP port of a namespace reachable at the loopback of this process's own.
 * @param wanted the port here; when it is taken, any other
 */
export async function startRelay(
  { netns, host, port }: { readonly netns: string; readonly host: string; readonly port: number },
  dir: string,
  wanted: number,
): Promise<Relay> {
  const path = join(dir, 'relay.sock');
  const words = ['-e', INSIDE, path, host, String(port)];
  const inside = await startDaemon(process.execPath, words, (it) => it.output().includes('ready'), { netns });
  const open = new Set<Socket>();
  const server = createServer((from) => {
    const to = connect(path);
    for (const [socket, other] of [
      [from, to],
      [to, from],
    ] as const) {
      open.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => open.delete(socket));
    }
    from.pipe(to).pipe(from);
  });
  const bound = await listen(server, wanted).catch(() => listen(server, 0));
  return {
    port: bound,
    stop: async () => {
      server.close();
      for (const socket of open) socket.destroy();
      await inside.stop();
    },
  };
}

const listen = (server: Server, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.removeListener('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
