/** An etcd that is compacted all the time, while programs read lists of several pages from it. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Etcd3 } from 'etcd3';
import { parseBackup } from '../../../cnictl/backup/format.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { blockAt } from '../../../ipam/model/range.ts';
import { newBlock, slotAddress } from '../../../ipam/model/block.ts';
import { encodeBlock } from '../../../ipam/records/block-record.ts';
import { blockKey, nodeKey, rangeKey } from '../../../ipam/records/keys.ts';
import { encodeNodeEntry } from '../../../ipam/records/node-record.ts';
import { encodeRange } from '../../../ipam/records/range-record.ts';
import { put, type Write } from '../../../ipam/records/transaction.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { scanAll } from '../../../ipam/store/store.ts';
import { cni, OUR_PLUGINS, type CniOutcome } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { node, startKubeApi } from '../../support/kube-api.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { run, sleep, type RunResult } from '../../support/proc.ts';
import { owner, range } from '../../unit/ipam/world.ts';

/** Blocks, nodes and pods: more than a page of a list, which has 500 keys. */
const NODES = 1_200;
const GIVEN_AT = Date.parse('2026-01-31T12:00:00Z');
const BLUE = range('10.20.0.0/16', { name: 'blue' });

/** Between two compactions, in milliseconds. */
const PAUSE_MS = 2;

/** Writes and compacts to the newest revision again and again. Stops when the test says so. */
function compactAlways(endpoints: readonly string[]): () => Promise<number> {
  const client = new Etcd3({ hosts: [...endpoints] });
  let [times, isStopping] = [0, false];
  const running = (async () => {
    while (!isStopping) {
      const { header } = await client.put('other/key').value(`${times++}`);
      await client.kv.compact({ revision: header.revision });
      // A page of a list takes longer, and the programs need the processors too.
      await sleep(PAUSE_MS);
    }
  })();
  return async () => {
    isStopping = true;
    await running;
    client.close();
    return times;
  };
}

suite('etcd is compacted all the time', () => {
  let scope: Scope;
  let etcd: Etcd;
  let dir: string;
  let stop: () => Promise<number>;

  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
    etcd = scope.use(await startEtcd());
    const api = await startKubeApi();
    scope.defer(() => api.close());
    api.writeKubeconfig(join(dir, 'kubeconfig'));
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    const writes: Write[] = [put(rangeKey('blue'), encodeRange(BLUE))];
    for (let n = 0; n < NODES; n++) {
      const name = `node-${n}`;
      const { base } = BLUE.cidr;
      const cidr = blockAt(BLUE, { ...base, value: base.value + BigInt(16 * (n + 1)) });
      const empty = newBlock(BLUE, cidr, name, GIVEN_AT);
      const pod = { podNamespace: 'shop', podName: `web-${n}`, podUid: `uid-${n}` };
      const slot = {
        state: 'used',
        allocatedAt: GIVEN_AT,
        sequence: 1,
        owner: owner(`c-${n}`, pod),
      } as const;
      const block = { ...empty, sequence: 1, slots: [slot, ...empty.slots.slice(1)] };
      writes.push(put(blockKey('blue', cidr), encodeBlock(block)));
      writes.push(put(nodeKey(name, cidr), encodeNodeEntry({ range: 'blue', claimedAt: GIVEN_AT })));
      api.putNode(node({ name, ready: true }));
      const ip = formatAddress(slotAddress(block, 0));
      api.putPod({ namespace: 'shop', name: `web-${n}`, uid: `uid-${n}`, node: name, ip });
    }
    for (let i = 0; i < writes.length; i += 100) await store.commit([], writes.slice(i, i + 100));
    store.close();
    stop = compactAlways(etcd.endpoints);
  });
  after(async () => {
    await stop();
    await scope.close();
  });

  const cnictl = (...args: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), args, {
      env: {
        CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','),
        KUBECONFIG: join(dir, 'kubeconfig'),
        HOME: dir,
      },
      timeoutMs: 60_000,
    });
  const succeeds = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cnictl(...args);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };

  test('a list of one reading fails, so that the others prove something', async () => {
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    const once = async (): Promise<number> => {
      let keys = 0;
      for await (const page of store.scan('')) keys += page.length;
      return keys;
    };
    await assert.rejects(once(), { code: 'store-compacted' });
    assert.ok((await scanAll(store, '')).length > 2 * NODES);
    store.close();
  });

  test('more keys than fit into one transaction, compacted between two of them', async () => {
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    const keys = (await scanAll(store, 'nodes/')).slice(0, 150).map(({ key }) => key);
    // Just once, at the worst moment.
    await stop();
    let readings = 0;
    const entries = await store.get(keys, {
      onState: ({ revision }) => {
        // Blocks this process, so that the next transaction is not sent before.
        if (readings++ > 0) return;
        const env = { ...process.env, ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: etcd.endpoints.join() };
        execFileSync('etcdctl', ['put', 'other/key', revision], { env });
        spawnSync('etcdctl', ['compact', `${Number(revision) + 1}`], { env });
      },
    });
    assert.ok(readings > 1);
    assert.deepEqual(
      entries.map((entry) => entry?.key),
      keys,
    );
    store.close();
    stop = compactAlways(etcd.endpoints);
  });

  test('check, node list, block list, range list, status: each shows all', async () => {
    const { counts } = JSON.parse(await succeeds('check', '--grace', '0s', '-o', 'json')) as {
      counts: { allocated: number; leaked: number };
    };
    assert.deepEqual([counts.allocated, counts.leaked], [NODES, 0]);
    for (const list of ['node list', 'block list', 'ip list']) {
      const listed = JSON.parse(await succeeds(...list.split(' '), '-o', 'json')) as unknown[];
      assert.ok(listed.length >= NODES, list);
    }
    assert.match(await succeeds('range', 'list'), new RegExp(`\\b${NODES}/4096\\b`));
    assert.match(await succeeds('status'), new RegExp(`${NODES} hold ${NODES} blocks`));
    assert.match(await succeeds('pod', 'show', 'shop/web-7'), /10\.20\.0\.\d+/);
  });

  test('a backup is whole', async () => {
    const file = join(dir, 'backup');
    await succeeds('backup', file);
    const { records } = parseBackup(readFileSync(file, 'utf8'), 'backup');
    assert.ok(records.length > 2 * NODES);
  });

  test('ADDs of nodes that claim their first block succeed', async () => {
    const add = (n: number): Promise<CniOutcome> =>
      cni(join(OUR_PLUGINS, 'cellnet-ipam'), 'ADD', {
        containerId: `new-${n}`,
        netns: '/run/netns/none',
        config: { cniVersion: '1.0.0', name: 'cell', type: 'bridge', ipam: { type: 'cellnet-ipam' } },
        env: {
          CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','),
          CELLNET_NODE: `new-${n}`,
          CELLNET_STATE_DIR: join(dir, `state-${n}`),
          CELLNET_AGENT: 'false',
        },
      });
    for (let n = 0; n < 12; n += 4) {
      const outcomes = await Promise.all([n, n + 1, n + 2, n + 3].map(add));
      for (const { code, stdout, stderr } of outcomes) assert.equal(code, 0, stdout + stderr);
    }
  });
});
