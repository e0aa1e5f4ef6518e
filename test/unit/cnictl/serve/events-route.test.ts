import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { EventsRoute } from '../../../../cnictl/serve/events-route.ts';
import { EventHub } from '../../../../cnictl/serve/hub.ts';
import { serveRoutes, type Served } from '../../../../cnictl/serve/server.ts';
import { startNow } from '../../../../ipam/events/follow.ts';
import { put } from '../../../../ipam/records/transaction.ts';
import type { Watches } from '../../../../ipam/store/watches.ts';
import { WatchedMemory } from '../../../support/watched-memory.ts';
import { World } from '../../ipam/world.ts';

const SILENT_MS = 300;

suite('events over HTTP', () => {
  const ended = new AbortController();
  let served: Served;
  let hub: EventHub;
  let asked = 0;
  /** Resolves when etcd may answer. */
  let answers = Promise.resolve();
  const sockets: Socket[] = [];

  beforeEach(async () => {
    const store = new WatchedMemory();
    await store.commit([], [put('elsewhere', '1')]);
    hub = new EventHub((await startNow(store.watches)).state);
    asked = 0;
    const watches: Watches = {
      ...store.watches,
      newest: async () => {
        asked += 1;
        await answers;
        return await store.watches.newest();
      },
    };
    const etcd = { watches, effects: new World().effects, close: () => undefined };
    const routes = [
      new EventsRoute(() => ({ hub, etcd, signal: ended.signal })),
      {
        path: '/long',
        answer: (_: unknown, response: { end: (text: string) => void }) => response.end('x'.repeat(2 ** 25)),
      },
    ];
    served = await serveRoutes({ listen: '127.0.0.1:0' }, routes, () => undefined, { silentMs: SILENT_MS });
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    served.close();
  });

  /** Sends a request, and reads what comes unless it is a client that takes nothing. */
  function ask(path: string, reads = true): { socket: Socket; text: () => string } {
    const { hostname, port } = new URL(served.url);
    const socket = connect({ host: hostname, port: Number(port) });
    let text = '';
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (reads) socket.on('data', (data: Buffer) => (text += data.toString('latin1')));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    return { socket, text: () => text };
  }

  test('positions that etcd has not reached are no way around the limit of those that read back', async () => {
    let go: () => void = () => undefined;
    answers = new Promise((resolve) => (go = resolve));
    const all = Array.from({ length: 12 }, () => ask('/events?from=900'));
    await pause(150);
    const refused = all.filter(({ text }) => text().startsWith('HTTP/1.1 503'));
    assert.deepEqual([refused.length, asked], [8, 4]);
    go();
    await pause(150);
    const told = all.filter(({ text }) => text().includes('"reason":"set-back"'));
    assert.equal(told.length, 4);
    // Those that have read back are not counted any more.
    const next = ask('/events?from=900');
    await pause(150);
    assert.match(next.text(), /HTTP\/1\.1 200/);
  });

  test('a client that takes nothing of its answer loses its connection; a quiet listener does not', async () => {
    const quiet = ask('/events?format=json');
    const stuck = ask('/long', false);
    stuck.socket.pause();
    await pause(4 * SILENT_MS);
    let isClosed = false;
    stuck.socket.on('close', () => (isClosed = true)).resume();
    await pause(SILENT_MS / 2);
    assert.ok(isClosed, 'the connection of the client that took nothing is still there');
    assert.ok(stuck.socket.bytesRead < 2 ** 25);
    assert.ok(!quiet.socket.destroyed && quiet.text().includes('200 OK'));
    quiet.socket.destroy();
    await pause(50);
    assert.equal(hub.waiting, 0, 'a listener that has gone is still waited for');
  });
});
