/** Listens to `cnictl serve`, and keeps what comes. */
import { request } from 'node:http';
import { connect } from 'node:net';
import type { CellEvent } from '../../ipam/events/event.ts';

export interface Listening {
  readonly headers: Record<string, string | string[] | undefined>;
  text(): string;
  lines(): number;
  close(): void;
}

/** Asks, and keeps what comes. */
export const listen = (url: string, headers: Record<string, string> = {}): Promise<Listening> =>
  new Promise((resolve, reject) => {
    const parts: string[] = [];
    let lines = 0;
    const asking = request(url, { headers }, (response) => {
      response.setEncoding('utf8').on('data', (text: string) => {
        parts.push(text);
        lines += text.split('\n').length - 1;
      });
      response.on('error', () => undefined);
      const text = (): string => parts.join('');
      resolve({ headers: response.headers, text, lines: () => lines, close: () => void asking.destroy() });
    });
    asking.once('error', reject);
    asking.end();
  });

export const listenRaw = (port: number, host: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`GET /events HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
    );
    socket.once('data', (chunk: Buffer) => {
      resolve(chunk.toString());
      socket.destroy();
    });
    socket.once('error', reject);
  });

/** Reads server-sent events as a browser does: what has no data is no event. */
export const eventsOf = (text: string): CellEvent[] =>
  text
    .split('\n\n')
    .slice(0, -1)
    .flatMap((part) => {
      const data = part.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
      return data.length === 0 ? [] : [JSON.parse(data.join('\n')) as CellEvent];
    });
