/**
 * Runs the last release beside this one, on one etcd and one node: operators upgrade a cluster node
 * by node, and a node's records outlive its programs. The last release runs from its own sources,
 * out of git.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { NodeState } from '../../../cni/host/node-state.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { batchingIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode } from '../../../ipam/node/local-node.ts';
import { silentObserver } from '../../../ipam/node/observer.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { owner, range } from '../../unit/ipam/world.ts';

/** The commit of the last release. */
const LAST = 'd51ae74';
const ROOT = join(import.meta.dirname, '../../..');
const NODE = 'node-1';

/**
 * The last release's IPAM as its agent runs it. The driver carries out one line of JSON at a time.
 */
const DRIVER = `
import { createInterface } from 'node:readline';
import { allocate, release } from './ipam/allocator.ts';
import { formatAddress } from './ipam/address.ts';
import { OrderQueue } from './ipam/orders.ts';
import { realSurroundings } from './ipam/retry.ts';
import { openEtcdStore } from './ipam/etcd/store.ts';
import { NodeState } from './cni/state/node-state.ts';
const store = openEtcdStore({ endpoints: [process.env.ENDPOINT], prefix: '/cellnet' });
const known = { store, around: realSurroundings, cache: new Map() };
const ipam = { ...known, queue: new OrderQueue(known, 10_000) };
const state = (dir) => new NodeState(dir, (what) => { throw new Error(what); });
const ops = {
  allocate: async ({ node, owner }) =>
    (await allocate(ipam, { node, owner, families: [4] })).map(({ address }) => formatAddress(address)),
  release: ({ node, attachment }) => release(ipam, { node, attachment, cause: { why: 'del' } }),
  saveAttachment: ({ dir, record }) => state(dir).saveAttachment(record),
  savePending: ({ dir, record }) => state(dir).savePending(record),
  readAttachment: ({ dir, record }) => state(dir).readAttachment(record),
  readPending: ({ dir, record }) => state(dir).readPending(record),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, args } = JSON.parse(line);
  Promise.resolve().then(() => ops[op](args)).then(
    (result) => console.log(JSON.stringify({ id, result: result ?? null })),
    (error) => console.log(JSON.stringify({ id, error: String(error) })),
  );
}
process.exit();
`;

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** Runs the last release as a process. `ask` rejects with the error that the process reports. */
class LastRelease {
  readonly dir: string;
  readonly #child;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #ended: Promise<void>;
  #asked = 0;

  constructor(dir: string, endpoint: string) {
    this.dir = dir;
    this.#child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', DRIVER], {
      cwd: dir,
      env: { ...process.env, ENDPOINT: endpoint },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      this.#waiting.get(answer.id)?.(answer);
    });
  }

  async ask<T>(op: string, args: object): Promise<T> {
    const id = ++this.#asked;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin.write(`${JSON.stringify({ id, op, args })}\n`);
    const ended = this.#ended.then((): Answer => ({ id, error: 'the last release has ended' }));
    const { result, error } = await Promise.race([answered, ended]);
    if (error !== undefined) throw new Error(error);
    return result as T;
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}

suite('the last release beside this one', { timeout: 120_000 }, () => {
  let scope: Scope;
  let etcd: Etcd;
  let last: LastRelease;
  let ipam: Ipam;
  let dir: string;

  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
    const tree = await scope.tempDir();
    const archive = execFileSync(
      'git',
      ['archive', LAST, 'cni', 'ipam', 'cnictl', 'package.json', 'tsconfig.json'],
      {
        cwd: ROOT,
        maxBuffer: 64 * 1024 * 1024,
      },
    );
    execFileSync('tar', ['-x', '-C', tree], { input: archive });
    symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
    const running = new LastRelease(tree, etcd.endpoints[0] ?? '');
    last = running;
    scope.defer(() => running.close());
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    ipam = batchingIpam(
      { store, effects: hostEffects, observer: silentObserver, cache: new Map(), local: noLocalNode },
      10_000,
    );
    dir = await scope.tempDir();
    await addRange(ipam, range('10.20.0.0/24', { name: 'blue', gateway: '10.20.0.1', cooldownMs: 0 }));
  });
  after(() => scope.close());

  const attachment = (containerId: string): { containerId: string; ifname: string } => ({
    containerId,
    ifname: 'eth0',
  });
  const byThis = async (id: string): Promise<string[]> =>
    (await allocate(ipam, { node: NODE, owner: owner(id), families: [4] })).map(({ address }) =>
      formatAddress(address),
    );
  const byLast = (id: string): Promise<string[]> => last.ask('allocate', { node: NODE, owner: owner(id) });
  const ids = Array.from({ length: 40 }, (_, n) => `c${n}`);

  test('two agents on one node give 40 pods 40 addresses, at once', async () => {
    const given = await Promise.all(ids.map((id, n) => (n % 2 ? byThis(id) : byLast(id))));
    assert.equal(new Set(given.flat()).size, ids.length);
    // Each release finds the addresses that the other allocated.
    for (const [n, id] of ids.entries())
      assert.deepEqual(await (n % 2 ? byLast(id) : byThis(id)), given[n], id);
  });

  test('cnictl of both tells the same', () => {
    const list = (cwd: string): unknown =>
      JSON.parse(
        execFileSync(
          process.execPath,
          [
            '--import',
            'tsx',
            'cnictl/main.ts',
            'ip',
            'list',
            '-o',
            'json',
            '--etcd-endpoints',
            etcd.endpoints[0] ?? '',
          ],
          { cwd, encoding: 'utf8' },
        ),
      );
    const seen = list(ROOT) as readonly Record<string, unknown>[];
    assert.equal(seen.filter(({ state }) => state === 'used').length, ids.length);
    const before = list(last.dir) as readonly Record<string, unknown>[];
    // A release may add keys: those of the last one stay.
    const keys = Object.keys(before[0] ?? {});
    assert.ok(keys.length > 10);
    const known = seen.map((each) => Object.fromEntries(keys.map((key) => [key, each[key]])));
    assert.deepEqual(before, known);
  });

  test('each releases what the other gave', async () => {
    const released = await Promise.all(
      ids.map((id, n) =>
        n % 2
          ? last.ask<string[]>('release', { node: NODE, attachment: attachment(id) })
          : release(ipam, { node: NODE, attachment: attachment(id), cause: { why: 'del' } }),
      ),
    );
    assert.deepEqual(new Set(released.map((each) => each.length)), new Set([1]));
    const values = await etcd.ctl('get', '--prefix', '/cellnet/v1/blocks/', '--print-value-only');
    assert.equal(values.includes('"used"'), false);
    assert.equal(values.includes('"released"'), true);
  });

  test('records of the node are read both ways, also with fields of a later release', async () => {
    const record = {
      v: 1 as const,
      network: 'cell',
      ...attachment('r'),
      etcd: { endpoints: etcd.endpoints },
      node: NODE,
      bridge: 'br-cell',
      ovsdb: 'unix:/nowhere',
      createdAt: 1,
    };
    const complaints: string[] = [];
    const state = new NodeState(dir, (what) => complaints.push(what));
    state.saveAttachment(record);
    assert.deepEqual(await last.ask('readAttachment', { dir, record }), record);
    const pending = { ...record, ...attachment('p'), until: 2, wire: true };
    await last.ask('savePending', { dir, record: pending });
    assert.deepEqual(state.readPending(pending), pending);
    const later = { ...record, ...attachment('l'), colour: 'red' };
    state.saveAttachment(later);
    assert.deepEqual(state.readAttachment(later), later);
    assert.deepEqual(complaints, []);
  });

  test('a field that a later release has added to a block survives what this one writes', async () => {
    await byThis('kept');
    const lines = (await etcd.ctl('get', '--prefix', '/cellnet/v1/blocks/')).split('\n');
    const at = lines.findIndex((line) => line.includes(`"${attachment('kept').containerId}"`));
    const key = lines[at - 1] ?? assert.fail('no block has it');
    const value = JSON.parse(lines[at] ?? '') as { sequence: number };
    await etcd.ctl('put', key, JSON.stringify({ ...value, colour: 'red' }));
    for (let n = 0; n < 20; n++) await byThis(`more-${n}`);
    for (let n = 0; n < 20; n++)
      await release(ipam, { node: NODE, attachment: attachment(`more-${n}`), cause: { why: 'del' } });
    await release(ipam, { node: NODE, attachment: attachment('kept'), cause: { why: 'del' } });
    const now = JSON.parse(await etcd.ctl('get', key, '--print-value-only')) as Record<string, unknown>;
    assert.equal(now['colour'], 'red');
    assert.ok(Number(now['sequence']) > value.sequence);
  });
});
