import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
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
