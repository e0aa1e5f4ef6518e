/** The launcher by itself, with a Node plugin of the test's own in its libexec folder. */
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { decodeRequest, encodeReply, type AgentRequest } from '../../cni/agent/protocol.ts';
import { REPOSITORY } from './cni.ts';
import type { Scope } from './netns.ts';
import { must, run, type RunOptions, type RunResult } from './proc.ts';

const SOURCES = 'io config agent reply node-plugin launcher'
  .split(' ')
  .map((name) => join(REPOSITORY, 'cni/launcher', `${name}.c`));

export interface Launcher {
  readonly program: string;
  /** Runs the launcher with a configuration on standard input. */
  run(config: string | object, options?: RunOptions, ...args: string[]): Promise<RunResult>;
  /** Replaces the Node plugin by this shell script. */
  plugin(script: string): Promise<void>;
}

/** What the Node plugin answers unless a test replaces it: `{"node":"ITS ARGUMENTS"}`. */
const PLUGIN = `cat > "$0.stdin"; echo "{\\"node\\":\\"$*\\"}"`;

/** Compiles the launcher. Its deadlines are 2 s, and 1 s for a DEL. */
export const compileLauncher = async (scope: Scope): Promise<Launcher> => {
  const dir = await scope.tempDir();
  const [program, plugin] = [join(dir, 'bin/cellnet'), join(dir, 'libexec/cellnet')];
  for (const folder of ['bin', 'libexec']) await mkdir(join(dir, folder));
  const words = [
    '-Wall',
    '-Wextra',
    '-Werror',
    '-DPLUGIN="cellnet"',
    '-DVERSION="0.0.0"',
    '-DDEADLINE_S=2',
    '-DDEL_DEADLINE_S=1',
  ];
  await must('cc', [...words, '-o', program, ...SOURCES], { timeoutMs: 60_000 });
  const write = (script: string): Promise<void> =>
    writeFile(plugin, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  await write(PLUGIN);
  const nowhere = { CELLNET_CONFIG: join(dir, 'none.json'), CELLNET_AGENT: undefined };
  return {
    program,
    plugin: write,
    run: (config, options = {}, ...args) =>
      run(program, args, {
        input: typeof config === 'string' ? config : JSON.stringify(config),
        ...options,
        env: { ...nowhere, CNI_COMMAND: 'ADD', ...options.env },
      }),
  };
};

export interface FakeAgent {
  readonly path: string;
  readonly asked: AgentRequest[];
}

/** Answers each call with `{"agent":"VERB"}`; `mute` takes calls and never answers. */
export const fakeAgent = async (scope: Scope, mute = false): Promise<FakeAgent> => {
  const path = join(await scope.tempDir(), 'agent.sock');
  const asked: AgentRequest[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    let received = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      const request = decodeRequest(received);
      if (!request) return;
      asked.push(request);
      const stdout = JSON.stringify({ agent: request.env['CNI_COMMAND'] });
      if (!mute) socket.end(encodeReply({ stdout, exitCode: 0 }));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  scope.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    return Promise.resolve();
  });
  return { path, asked };
};
