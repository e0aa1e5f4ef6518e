/** `range set` on a real etcd, with the binary that operators run. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress, parseAddress, parseSpan, spanContains } from '../../../ipam/model/address.ts';
import { usedSlots, type Block } from '../../../ipam/model/block.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { batchingIpam, directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode } from '../../../ipam/node/local-node.ts';
import { silentObserver } from '../../../ipam/node/observer.ts';
import { listBlocks } from '../../../ipam/query/views.ts';
import { setRange } from '../../../ipam/ranges/set-range.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { examplesOf } from '../../support/examples.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { run, type RunResult } from '../../support/proc.ts';
import { DEL, owner } from '../../unit/ipam/world.ts';

suite('range set on real etcd', () => {
  let scope: Scope;
  let etcd: Etcd;
  let ipam: Ipam;
  let dir: string;
  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
    etcd = scope.use(await startEtcd());
    ipam = directIpam(openStore(), hostEffects);
  });
  after(() => scope.close());

  const openStore = (): ReturnType<typeof openEtcdStore> => {
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    return store;
  };
  const env = (): Record<string, string> => ({
    CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','),
    HOME: dir,
    PATH: `${OUR_PLUGINS}:${process.env['PATH'] ?? ''}`,
  });
  const cnictl = (...args: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), args, { env: env(), timeoutMs: 40_000 });
  const must = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cnictl(...args);
    assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  const give = (node: string, id: string, ip?: string, podName?: string): ReturnType<typeof allocate> =>
    allocate(ipam, {
      node,
      owner: owner(id, podName === undefined ? {} : { podNamespace: 'shop', podName }),
      families: [4],
      ...(ip !== undefined && { requested: [parseAddress(ip)] }),
    });
  const blocksOf = async (range: string): Promise<readonly Block[]> => {
    const { blocks, unreadable } = await listBlocks(ipam, { range });
    assert.deepEqual(unreadable, []);
    return blocks.map(({ block }) => block);
  };
  const slotsThat = (blocks: readonly Block[], state: string, most = Infinity): string[] =>
    blocks.flatMap(({ cidr, slots }) =>
      slots
        .flatMap((slot, i) =>
          slot.state === state ? [formatAddress({ ...cidr.base, value: cidr.base.value + BigInt(i) })] : [],
        )
        .slice(0, most),
    );

  test('the examples of docs/operations/ranges.md print what the page says', async () => {
    await must(...'range add 10.40.0.0/24 --gateway 10.40.0.1 --vlan 140 --name red'.split(' '));
    await give('node-1', 'c1', '10.40.0.17', 'web-1');
    await give('node-1', 'c2', '10.40.0.18', 'web-2');
    await give('node-2', 'c3', '10.40.0.33', 'web-3');
    const examples = examplesOf('docs/operations/ranges.md', 'Change a range');
    assert.equal(examples.length, 3);
    for (const { command, prints } of examples) {
      const done = await run('sh', ['-c', command], { env: env() });
      assert.equal(done.code, 0, `${command}: ${done.stderr}`);
      assert.equal(done.stdout, prints, command);
    }
  });

  test('what a pod has is refused, with its node; nothing is changed, and a look changes nothing', async () => {
    const before = await etcd.ctl('get', '--prefix', '/cellnet/v1/');
    for (const more of [[], ['--dry-run']]) {
      const refused = await cnictl('range', 'set', 'red', '--exclude', '10.40.0.17-10.40.0.20', ...more);
      assert.equal(refused.code, 2, refused.stdout);
      assert.match(refused.stderr, /pod shop\/web-1 on node node-1 has 10\.40\.0\.17; pod shop\/web-2 on/);
      assert.match(refused.stderr, /Delete the pod: its next one gets another address/);
    }
    await must('range', 'set', 'red', '--gateway', '10.40.0.254', '--dry-run');
    assert.equal(await etcd.ctl('get', '--prefix', '/cellnet/v1/'), before);
  });

  test('a gateway that changes is told of pods, and of the range', async () => {
    const told = JSON.parse(await must(...'range set red --gateway 10.40.0.254 -o json'.split(' '))) as {
      keptOut: string[];
      reserved: string[];
      formerRoutes: { pods: number };
    };
    assert.deepEqual([told.keptOut, told.reserved], [['10.40.0.1'], ['10.40.0.254']]);
    assert.equal(told.formerRoutes.pods, 3);
    await give('node-2', 'c4', '10.40.0.34', 'web-4');
    assert.match(await must('range', 'show', 'red'), /older: 3 pods on node-1 \(2\), node-2 \(1\)/);
    assert.match(
      await must('pod', 'show', 'shop/web-1'),
      /10\.40\.0\.17 has the gateway and routes of before/,
    );
    assert.doesNotMatch(await must('pod', 'show', 'shop/web-4'), /has the gateway and routes of before/);
    const again = JSON.parse(await must(...'range set red --gateway 10.40.0.254 -o json'.split(' '))) as {
      changed: boolean;
    };
    assert.equal(again.changed, false);
    const checked = await cnictl('doctor', '--cluster');
    assert.match(checked.stdout, /ok +ranges/);
  });

  test('a kept address is refused until its keeping is ended', async () => {
    await must(...'rule add db --namespace shop --pod db-* --keep forever --range red'.split(' '));
    await give('node-1', 'c5', '10.40.0.21', 'db-0');
    await release(ipam, {
      node: 'node-1',
      attachment: { containerId: 'c5', ifname: 'eth0' },
      cause: DEL,
    });
    const refused = await cnictl('range', 'set', 'red', '--exclude', '10.40.0.21');
    assert.match(refused.stderr, /10\.40\.0\.21 is kept for pod shop\/db-0 by rule db/);
    assert.match(refused.stderr, /cnictl release 10\.40\.0\.21/);
    await must('release', '10.40.0.21', '--yes');
    await must('range', 'set', 'red', '--exclude', '10.40.0.21');
    await must('range', 'set', 'red', '--include', '10.40.0.21');
    await must('rule', 'remove', 'db');
  });

  test('a backup of before does not mix with a range that was changed since', async () => {
    const file = join(dir, 'backup');
    await must('backup', file);
    const [free = ''] = slotsThat(await blocksOf('red'), 'free');
    await must('range', 'set', 'red', '--exclude', free);
    await etcd.ctl('del', '/cellnet/v1/blocks/red/10.40.0.32/28');
    await etcd.ctl('del', '/cellnet/v1/nodes/node-2/10.40.0.32/28');
    const merged = await cnictl('restore', file, '--merge', '--yes', '--force', '-o', 'json');
    assert.match(merged.stdout, /"key": "ranges\/red",\s+"reason": "differs"/);
    await blocksOf('red');
    // An emptied etcd gets the range and the blocks of one moment.
    await etcd.ctl('del', '--prefix', '/cellnet/v1/');
    await must('restore', file, '--yes', '--force');
    assert.equal((await blocksOf('red')).length, 2);
  });

  test('etcd takes the largest change that is not refused; a larger one is told in parts', async () => {
    await must(...'range add 10.60.0.0/22 --name many --block-size 4 --cooldown 0 --named-only'.split(' '));
    const named = (node: string, id: string): ReturnType<typeof allocate> =>
      allocate(ipam, { node, owner: owner(id), families: [4], ranges: ['many'] });
    for (let i = 0; i < 140; i++) await named(`m-${i}`, `m${i}`);
    const blocks = [...(await blocksOf('many'))].sort((a, b) =>
      Number(a.cidr.base.value - b.cidr.base.value),
    );
    const flags = (ips: readonly string[]): string[] => ips.flatMap((ip) => ['--exclude', ip]);
    const refused = await cnictl('range', 'set', 'many', ...flags(slotsThat(blocks, 'free', 1)));
    assert.match(refused.stderr, /touches 1[34]\d claimed blocks, more than etcd takes in one transaction/);
    assert.match(refused.stderr, /Do it in parts: first only addresses up to 10\.60\./);
    const most = slotsThat(blocks, 'free', 1).slice(0, 126);
    await must('range', 'set', 'many', ...flags(most));
    assert.equal(slotsThat(await blocksOf('many'), 'reserved').filter((ip) => most.includes(ip)).length, 126);
  });

  test('ADDs of agents and plugins that meet it never get what was excluded, and records agree', async () => {
    await must(...'range add 10.70.0.0/25 --name busy --block-size 4 --cooldown 0 --named-only'.split(' '));
    const nodes = ['b-1', 'b-2', 'b-3', 'b-4'];
    // Two nodes have an agent with a cache, two have none.
    const ipams = nodes.map((_, i) => {
      const context = {
        ...{ store: openStore(), effects: hostEffects, observer: silentObserver },
        ...{ cache: new Map(), local: noLocalNode },
      };
      return i < 2 ? batchingIpam(context, 10_000) : directIpam(context.store, hostEffects);
    });
    let done = false;
    let added = 0;
    const churn = async (node: string, own: Ipam): Promise<void> => {
      const mine: string[] = [];
      while (!done) {
        const id = `${node}-${added++}`;
        await allocate(own, { node, owner: owner(id), families: [4], ranges: ['busy'] });
        mine.push(id);
        if (mine.length < 6) continue;
        const attachment = { containerId: mine.shift() ?? '', ifname: 'eth0' };
        await release(own, { node, attachment, cause: DEL });
      }
    };
    const working = Promise.all(nodes.map((node, i) => churn(node, ipams[i] ?? ipam)));
    let [excluded, refused] = [0, 0];
    const operator = openStore();
    try {
      for (let round = 0; round < 60; round++) {
        const first = 1 + ((round * 11) % 110);
        const text = `10.70.0.${first}-10.70.0.${first + 2}`;
        const at = directIpam(operator, hostEffects);
        try {
          await setRange(at, 'busy', { exclude: [parseSpan(text)] });
        } catch (error) {
          assert.ok(error instanceof IpamError && error.code === 'in-use', String(error));
          refused++;
          continue;
        }
        excluded++;
        // For a while everybody gives addresses out by the new range.
        for (let look = 0; look < 3; look++) {
          const given = (await blocksOf('busy')).flatMap((block) => usedSlots(block));
          const wrong = given.filter(({ address }) => spanContains(parseSpan(text), address));
          assert.deepEqual(wrong, [], text);
        }
        await setRange(at, 'busy', { include: [parseSpan(text)] });
      }
    } finally {
      done = true;
      await working;
    }
    assert.ok(excluded > 5 && added > 100, `${excluded} excluded, ${refused} refused, ${added} ADDs`);
    await blocksOf('busy');
  });
});
