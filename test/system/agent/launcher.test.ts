import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { compileLauncher, fakeAgent, type FakeAgent, type Launcher } from '../../support/launcher.ts';
import { newScope } from '../../support/netns.ts';
import { must, run, startDaemon, until, type RunResult } from '../../support/proc.ts';

const scope = newScope();
let launcher: Launcher;
let agent: FakeAgent;
let dir: string;
before(async () => {
  launcher = await compileLauncher(scope);
  agent = await fakeAgent(scope);
  dir = await scope.tempDir();
});
after(() => scope.close());

/** Runs the Python program until the tests end. Resolves when it has printed a line. */
const listening = async (program: string): Promise<void> => {
  const daemon = await startDaemon('python3', ['-c', program], (each) => each.output().includes('up'));
  scope.defer(() => daemon.stop());
};

const isBy = (who: 'agent' | 'node', { code, stdout, stderr }: RunResult): void => {
  assert.equal(code, 0, stdout + stderr);
  assert.deepEqual(Object.keys(JSON.parse(stdout) as object), [who]);
};
const reply = ({
  stdout,
}: RunResult): { code?: number; msg?: string; details?: string; cniVersion?: string } =>
  JSON.parse(stdout) as object;

suite('the launcher finds the agent', () => {
  const shared = async (content: string): Promise<{ env: Record<string, string> }> => {
    const file = join(dir, 'config.json');
    await writeFile(file, content);
    return { env: { CELLNET_CONFIG: file } };
  };
  const named = (): Promise<{ env: Record<string, string> }> => shared(`{ "agent" : "${agent.path}" }`);

  test('by a plain path in the network configuration or in the shared file, without Node', async () => {
    isBy('agent', await launcher.run({ name: 'x', agent: agent.path }));
    isBy('agent', await launcher.run(`{"name":"x","agent"\n:\t"${agent.path}"}`));
    isBy('agent', await launcher.run({ name: 'x' }, await named()));
    isBy('agent', await launcher.run({ name: 'x', agent: null }, await named()));
  });

  test('with the environment first, then inline, then the file', async () => {
    const file = await shared('{"agent":"/nowhere/else.sock"}');
    isBy('agent', await launcher.run({ agent: agent.path }, file));
    const env = { ...file.env, CELLNET_AGENT: agent.path };
    isBy('agent', await launcher.run({ agent: '/nowhere/else.sock' }, { env }));
    isBy('agent', await launcher.run({ agent: false }, { env }));
    isBy('node', await launcher.run({ agent: agent.path }, { env: { CELLNET_AGENT: 'false' } }));
  });

  for (const [what, config] of [
    ['a network of that name', { name: 'agent' }],
    ['a key of an inner object', { name: 'x', args: { agent: false } }],
    ['a value in a list', { name: 'x', list: ['agent', { agent: false }] }],
    ['a text that looks like it', { name: 'x', dns: { domain: '"agent": false, \\' } }],
    ['a longer key', { name: 'x', agents: false }],
  ] as const)
    test(`undisturbed by ${what}`, async () => {
      isBy('agent', await launcher.run(config, await named()));
    });

  for (const [what, config] of [
    ['false', '{"agent":false}'],
    ['a number', '{"agent":1}'],
    ['an empty text', '{"agent":""}'],
    ['a path with escapes', '{"agent":"\\u002frun/x"}'],
    ['a key with escapes', '{"\\u0061gent":false}'],
    ['a key that is there twice', '{"agent":"/a","agent":"/b"}'],
    ['a path too long for a socket', JSON.stringify({ agent: `/${'x'.repeat(200)}` })],
    ['a text without an end', '{"agent":"/a'],
  ] as const)
    test(`${what} is left to Node, inline and in the file`, async () => {
      isBy('node', await launcher.run(config, await named()));
      isBy('node', await launcher.run({ name: 'x' }, await shared(config)));
    });

  test('a shared file that is a folder or a FIFO is left to Node, and blocks nothing', async () => {
    const fifo = join(dir, 'fifo');
    await must('mkfifo', [fifo]);
    for (const file of [dir, fifo]) isBy('node', await launcher.run({}, { env: { CELLNET_CONFIG: file } }));
  });

  test('--probe: status 0 when it answers, else 1 and a line that says so', async () => {
    const probe = (path: string): Promise<RunResult> =>
      launcher.run('', { env: { CELLNET_AGENT: path, CNI_COMMAND: undefined } }, '--probe');
    assert.deepEqual(
      [(await probe(agent.path)).code, agent.asked.at(-1)?.env['CNI_COMMAND']],
      [0, 'VERSION'],
    );
    const none = await probe('/nowhere/x.sock');
    assert.deepEqual([none.code, none.stderr], [1, 'no agent answers at /nowhere/x.sock\n']);
    const late = await probe((await fakeAgent(scope, true)).path);
    assert.match(`${late.code} ${late.stderr}`, /^1 .* did not answer within 5 s\n$/);
  });
});

suite('every wait of the launcher ends', () => {
  const within = async (ms: number, work: Promise<RunResult>): Promise<RunResult> => {
    const began = performance.now();
    const result = await work;
    const took = performance.now() - began;
    assert.ok(took < ms, `${Math.round(took)} ms`);
    return result;
  };
  let mute: FakeAgent;
  before(async () => {
    mute = await fakeAgent(scope, true);
  });

  test('an agent that never answers: code 11 for an ADD; a DEL is finished by Node, which is told', async () => {
    const env = { CELLNET_AGENT: mute.path };
    const add = await within(4_000, launcher.run({ cniVersion: '0.4.0' }, { env }));
    assert.equal(add.code, 1);
    const { code, msg, cniVersion } = reply(add);
    assert.deepEqual([code, cniVersion], [11, '0.4.0']);
    assert.match(msg ?? '', /did not answer within 2 s/);
    const del = await within(3_000, launcher.run('{}', { env: { ...env, CNI_COMMAND: 'DEL' } }));
    assert.deepEqual([del.code, JSON.parse(del.stdout)], [0, { node: '--agent-hangs' }]);
  });

  test('one that does not read: the same for a request beyond the socket buffers', async () => {
    const deaf = join(dir, 'deaf.sock');
    const listen = `import socket,time; s=socket.socket(socket.AF_UNIX); s.bind('${deaf}'); s.listen(8); print('up',flush=True); time.sleep(20)`;
    await listening(listen);
    const config = { pad: 'x'.repeat(3_000_000) };
    const add = await within(4_000, launcher.run(config, { env: { CELLNET_AGENT: deaf } }));
    assert.equal(reply(add).code, 11);
  });

  test('one whose queue is full: connecting ends too', async () => {
    const full = join(dir, 'full.sock');
    const listen = `import socket,time
s=socket.socket(socket.AF_UNIX); s.bind('${full}'); s.listen(0); c=[]
try:
  while True:
    k=socket.socket(socket.AF_UNIX); k.setblocking(False); k.connect('${full}'); c.append(k)
except BlockingIOError: print('up',flush=True)
time.sleep(20)`;
    await listening(listen);
    const env = { CELLNET_AGENT: full };
    assert.equal(reply(await within(4_000, launcher.run('{}', { env }))).code, 11);
    const del = await within(3_000, launcher.run('{}', { env: { ...env, CNI_COMMAND: 'DEL' } }));
    assert.deepEqual(JSON.parse(del.stdout), { node: '--agent-hangs' });
  });
});

suite('a Node plugin that does not answer gets an answer', () => {
  const config = { cniVersion: '1.0.0', agent: false };

  test('node is not in PATH: code 5, and what PATH is', async () => {
    await launcher.plugin('exec /usr/bin/env node "$0"');
    const { code, msg, details } = reply(await launcher.run(config, { env: { PATH: '/nowhere' } }));
    assert.equal(code, 5);
    assert.match(msg ?? '', /libexec\/cellnet ended with status 127, and did not answer/);
    assert.match(details ?? '', /must be in PATH, which is '\/nowhere/);
  });

  test('a NODE_OPTIONS that Node refuses, an exception, a signal: code 5; stderr is passed on', async () => {
    await launcher.plugin('exec /usr/bin/env node "$0"');
    // The helper that runs programs removes the variable from every environment.
    const words = [
      'NODE_OPTIONS=--no-such-option',
      'CNI_COMMAND=ADD',
      'CELLNET_AGENT=false',
      launcher.program,
    ];
    const refused = await run('env', words, { input: '{}' });
    assert.equal(refused.code, 1);
    assert.equal(reply(refused).code, 5);
    assert.match(reply(refused).details ?? '', /NODE_OPTIONS is '--no-such-option'/);
    assert.match(refused.stderr, /--no-such-option is not allowed/);
    await launcher.plugin('exit 1');
    assert.equal(reply(await launcher.run(config)).code, 5);
    await launcher.plugin('printf \'{"cut":\'; kill -9 $$');
    assert.match(reply(await launcher.run(config)).msg ?? '', /ended with signal 9/);
  });

  test('its own answers pass unchanged, with input and status', async () => {
    await launcher.plugin('cat; exit 1');
    const failed = await launcher.run({ ...config, pad: 'y'.repeat(200_000) });
    assert.equal(failed.code, 1);
    assert.equal(failed.stdout.length, JSON.stringify({ ...config, pad: 'y'.repeat(200_000) }).length);
    await launcher.plugin('exit 0');
    const done = await launcher.run(config);
    assert.deepEqual([done.code, done.stdout], [0, '']);
  });

  test('it ends with the launcher, as when the runtime kills that', async () => {
    const mark = join(dir, 'pid');
    await launcher.plugin(`echo $$ > ${mark}; exec sleep 20`);
    const env = { ...process.env, CNI_COMMAND: 'ADD', CELLNET_AGENT: 'false' };
    const child = spawn(launcher.program, { env, stdio: ['ignore', 'ignore', 'inherit'] });
    const marked = (): string => readFileSync(mark, { flag: 'a+' }).toString().trim();
    await until('the plugin to run', () => marked() !== '');
    const pid = marked();
    child.kill('SIGKILL');
    // The process that inherits the plugin may never ask for its exit status.
    const lives = (): boolean =>
      existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
    await until('the plugin to end', () => !lives());
  });
});
