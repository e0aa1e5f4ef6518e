import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { askAgent } from '../../../../cni/agent/client.ts';

test('an agent that takes the request and never answers: code 11 at the deadline', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'cn-client-'));
  const sockets = new Set<Socket>();
  const server = createServer((socket) => void sockets.add(socket));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(dir, { recursive: true });
  });
  const path = join(dir, 'agent.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const request = { plugin: 'cellnet', env: { CNI_COMMAND: 'VERSION' }, stdin: '{}' } as const;
  await assert.rejects(askAgent(path, request, 50), {
    kind: 'try-again-later',
    message: `the agent at ${path} did not answer within 0.05 s`,
  });
});

const LIAR = `
const socket = process.argv[1];
require('node:net').createServer((c) => c.on('data', () => {
  const head = Buffer.alloc(16); head.write('cellnet1'); head.writeUInt32LE(2, 12);
  c.end(Buffer.concat([head, Buffer.from('{}')]));
})).listen(socket);
`;

test(
  'the reply of a stranger is not believed',
  { skip: process.geteuid?.() !== 0 && 'needs root' },
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'cn-client-'));
    chmodSync(dir, 0o777);
    const path = join(dir, 'agent.sock');
    const stranger = spawn(process.execPath, ['-e', LIAR, path], {
      uid: 65534,
      gid: 65534,
      stdio: 'inherit',
    });
    t.after(() => {
      stranger.kill();
      rmSync(dir, { recursive: true });
    });
    for (let i = 0; i < 400 && !existsSync(path); i++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    assert.ok(existsSync(path));
    const request = { plugin: 'cellnet', env: { CNI_COMMAND: 'ADD' }, stdin: '{}' } as const;
    assert.equal(await askAgent(path, request, 5_000), undefined);
  },
);
