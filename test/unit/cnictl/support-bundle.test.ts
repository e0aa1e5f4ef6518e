import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite, test } from 'node:test';
import { makeTar } from '../../../cnictl/doctor/tar.ts';
import { safeName } from '../../../cnictl/support/archive.ts';
import { readNodePart } from '../../../cnictl/support/node-part.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { CliWorld } from '../../golden/world.ts';

async function worldWithout(env: Record<string, string> = {}): Promise<CliWorld> {
  const world = await CliWorld.make();
  world.env = env;
  world.exec = () => Promise.resolve({ status: null, output: 'no such program\n' });
  return world;
}
const fileIn = (world: CliWorld, archive: string, name: string): string =>
  execFileSync('tar', ['-xzOf', '-', `cellnet-support/${name}`], {
    input: world.written.get(archive) ?? Buffer.of(),
  }).toString();

suite('support-bundle', () => {
  test('bad arguments are refused before anything is gathered', async () => {
    const world = await worldWithout();
    world.unwritable.add('/x.tar.gz');
    for (const [args, told] of [
      ['', /no file is named: expected one, such as support\.tar\.gz/],
      [' /x.tar.gz', /'\/x\.tar\.gz' cannot be written/],
      [' /y.tar.gz --this-node --node a', /--this-node and --node: expected one of them/],
      [' /y.tar.gz --timeout soon', /--timeout 'soon': expected a duration/],
    ] as const) {
      const { status, stderr } = await world.run(`support-bundle${args}`);
      assert.equal(status, 2);
      assert.match(stderr, told);
    }
    assert.equal(world.written.size, 0);
  });

  test('this node alone is complete without an API server', async () => {
    const world = await worldWithout();
    // The world follows no etcd, so the events cannot be had.
    const { status, stdout } = await world.run('support-bundle /b.tar.gz --this-node -o json');
    assert.equal(status, 2);
    const { parts } = JSON.parse(stdout) as { parts: { name: string; problem?: string }[] };
    assert.deepEqual(
      parts.filter(({ problem }) => problem !== undefined).map(({ name }) => name),
      ['cluster/events.jsonl'],
    );
    assert.match(fileIn(world, '/b.tar.gz', 'cluster/nodes.json'), /"name": "node-2"/);
    assert.match(fileIn(world, '/b.tar.gz', 'nodes/node-1/doctor.json'), /"check"/);
    assert.match(
      fileIn(world, '/b.tar.gz', 'README.txt'),
      /What is missing[^]*cluster\/events\.jsonl: no test of this/,
    );
  });

  test('an etcd that is away leaves the rest, and is named in each place', async () => {
    const world = await worldWithout();
    const away = (): never => {
      throw new IpamError('store-unreachable', 'http://e:2379 does not answer');
    };
    world.store = { get: away, scan: away, count: away, commit: away, close: away };
    const { status } = await world.run('support-bundle /b.tar.gz');
    assert.equal(status, 2);
    const readme = fileIn(world, '/b.tar.gz', 'README.txt');
    assert.match(readme, /cluster\/status\.json: http:\/\/e:2379 does not answer/);
    assert.match(readme, /kubernetes\/: no API server is configured/);
    assert.match(readme, /nodes\/node-1\/ +node node-1: 1\d files/);
  });

  test('secrets of this machine are nowhere, also where another node or a command prints them', async () => {
    const world = await worldWithout({ CELLNET_ETCD_USERNAME: 'cell', CELLNET_ETCD_PASSWORD_FILE: '/pw' });
    world.files.set('/pw', 'planted-password\n');
    world.agentLog = '{"msg":"login with planted-password"}\n';
    world.exec = () => Promise.resolve({ status: 0, output: 'Bearer planted-token\n' });
    await world.run('support-bundle /b.tar.gz');
    const all = execFileSync('gzip', ['-dc'], { input: world.written.get('/b.tar.gz') ?? '' }).toString();
    assert.ok(!all.includes('planted-password') && !all.includes('planted-token'));
    assert.match(all, /login with \[redacted\]/);
  });
});

test('no name leads out of the folder of the archive, and long ones stay different', () => {
  assert.equal(safeName('node-1.example.com'), 'node-1.example.com');
  for (const name of ['..', '.', '', '../../etc/passwd', '/etc/passwd', 'a/b', '.hidden', 'é\n']) {
    const safe = safeName(name);
    assert.match(safe, /^[\w-][\w.-]*$/, JSON.stringify(name));
  }
  const [one, other] = ['a', 'b'].map((end) => safeName(`${'n'.repeat(200)}${end}`));
  assert.notEqual(one, other);
  assert.ok((one ?? '').length <= 80);
});

test("tar: Debian's reads names of more than 100 bytes", () => {
  const name = `cellnet-support/nodes/${'n'.repeat(80)}/agent-recent-lines-of-the-log.jsonl`;
  const archive = makeTar([{ name, content: 'x' }], 0);
  assert.equal(execFileSync('tar', ['-tf', '-'], { input: archive }).toString(), `${name}\n`);
  assert.equal(execFileSync('tar', ['-xOf', '-', name], { input: archive }).toString(), 'x');
});

test("what a node's program printed is read with care", () => {
  const ended = { stdout: '', stderr: '', exitCode: 0, message: '' };
  assert.equal(readNodePart(ended), 'its answer is no JSON: 0 characters');
  const wrong = readNodePart({ ...ended, stdout: '{"node":"a","files":{"x":1}}' });
  assert.match(typeof wrong === 'string' ? wrong : '', /files.*x/);
  assert.equal(
    readNodePart({ ...ended, exitCode: 126, message: 'exit status 126', stderr: 'cnictl: not found\n' }),
    'exit status 126: cnictl: not found',
  );
  assert.deepEqual(readNodePart({ ...ended, stdout: '{"node":"a","files":{"x":"1"}}' }), [
    { name: 'x', content: '1' },
  ]);
});
