import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress } from '../../../ipam/model/address.ts';
import { releaseAddress } from '../../../ipam/release/release-in-block.ts';
import { release } from '../../../ipam/release/release.ts';
import { addRule } from '../../../ipam/rules/rules.ts';
import { CliWorld, container } from '../../golden/world.ts';
import { rule } from '../../support/rule.ts';

const MAC = '02:00:00:00:00:99';

suite('lists by node', () => {
  for (const what of ['ip', 'block']) {
    test(`${what} list of a node without a block names those that have one`, async () => {
      const world = await CliWorld.make();
      world.nodes.push({ name: 'fresh', uid: 'f', ready: true });
      const ran = await world.run(`${what} list --node fresh`);
      assert.deepEqual([ran.status, ran.stderr], [0, '']);
      assert.equal(ran.stdout, "node 'fresh' holds no block; nodes that do: node-1, node-2\n");
      assert.equal((await world.run(`${what} list --node fresh -o json`)).stdout, '[]\n');
    });
  }

  test('within a range, only the nodes on it are named', async () => {
    const world = await CliWorld.make();
    assert.equal(
      (await world.run('block list --node node-1 --range six')).stdout,
      "node 'node-1' holds no block of range 'six'; nodes that do: node-2\n",
    );
  });

  test('of many nodes ten are named', async () => {
    const world = await CliWorld.make();
    for (let n = 10; n < 20; n++) await world.give(`node-${n}`, n, `web-${n}`);
    world.nodes.push({ name: 'fresh', uid: 'f', ready: true });
    assert.match(
      (await world.run('ip list --node fresh')).stdout,
      /do: node-1, node-10, (node-1\d, ){7}node-18 and 2 more\n$/,
    );
  });
});

suite('an address that a stranger uses', () => {
  const setAside = async (): Promise<CliWorld> => {
    const world = await CliWorld.make();
    const rows = JSON.parse((await world.run('ip list -o json')).stdout) as { ip: string }[];
    const ip = rows.find((row) => row.ip === '10.20.0.16')?.ip ?? '';
    await releaseAddress(
      world.ipam.ipam,
      parseAddress(ip),
      { containerId: container(0), ifname: 'eth0', sequence: 1 },
      { why: 'conflict', conflictMac: MAC },
    );
    return world;
  };

  test('is in conflict for people, and cooling with its MAC for scripts', async () => {
    const world = await setAside();
    assert.match((await world.run('ip list')).stdout, /^10\.20\.0\.16 +conflict +-/m);
    assert.match((await world.run('ip show 10.20.0.16')).stdout, new RegExp(`State: +conflict\n[^]*${MAC}`));
    const shown = JSON.parse((await world.run('ip show 10.20.0.16 -o json')).stdout) as object;
    assert.deepEqual({ ...shown, ...{ state: 'cooling', conflictMac: MAC } }, shown);
  });

  test('is free like any other after an hour', async () => {
    const world = await setAside();
    world.ipam.now += 3_600_000;
    const shown = await world.run('ip show 10.20.0.16');
    assert.match(shown.stdout, /State: +free\n/);
    assert.doesNotMatch(shown.stdout, /Conflict/);
  });
});

suite('a reserved address says why', () => {
  for (const [ip, why] of [
    ['10.20.0.0', 'network'],
    ['10.20.3.255', 'broadcast'],
    ['10.20.0.1', 'gateway'],
    ['10.20.0.5', 'excluded'],
    ['10.20.0.21', undefined],
    ['10.50.0.9', 'next-hop'],
    ['fd00:20::', 'anycast'],
    ['fd00:20::1', 'gateway'],
    ['fd00:20::ffff:ffff:ffff:ffff', undefined],
  ] as const) {
    test(`${ip} is ${why ?? 'not reserved'}`, async () => {
      const world = await CliWorld.make();
      await world.run(['range', 'add', '10.50.0.0/24', '--route', '0.0.0.0/0 via 10.50.0.9']);
      const shown = JSON.parse((await world.run(`ip show ${ip} -o json`)).stdout) as {
        state: string;
        reservedAs: string | null;
      };
      assert.deepEqual(
        [shown.state, shown.reservedAs],
        [why === undefined ? 'free' : 'reserved', why ?? null],
      );
    });
  }
});

suite('addresses that pods took to another node', () => {
  test('count as used at the node of the block, and the attachments at their own', async () => {
    const world = await CliWorld.make();
    const { ipam } = world.ipam;
    await addRule(ipam, rule('db', { pod: 'pg-*', ranges: [], keep: {} }));
    await world.give('node-1', 50, 'pg-0', ['10.20.0.24', 'fd00:20::1:0:0:7']);
    const attachment = { containerId: container(50), ifname: 'eth0' };
    await release(ipam, { node: 'node-1', attachment, cause: { why: 'del' } });
    assert.match((await world.run('range list')).stdout, /USED +KEPT +FREE[^]*\nblue .* 6 +1 +/);
    const before = await nodesOf(world);
    await world.give('node-3', 51, 'pg-0', ['10.20.0.24', 'fd00:20::1:0:0:7']);
    const after = await nodesOf(world);
    assert.deepEqual(after['node-3'], { blocks: 0, allocated: 0, attachments: 1 });
    assert.deepEqual(after['node-1']?.attachments, before['node-1']?.attachments);
    assert.equal(after['node-1']?.allocated, (before['node-1']?.allocated ?? 0) + 2);
    assert.match((await world.run('node list')).stdout, /^node-3 +active .* 0 +0\/0 /m);
    assert.doesNotMatch((await (await CliWorld.make()).run('range list')).stdout, /KEPT/);
  });
});

interface NodeRow {
  readonly name: string;
  readonly blocks: number;
  readonly allocated: number;
  readonly attachments: number;
}

async function nodesOf(world: CliWorld): Promise<Record<string, Omit<NodeRow, 'name'>>> {
  const rows = JSON.parse((await world.run('node list -o json')).stdout) as NodeRow[];
  return Object.fromEntries(
    rows.map(({ name, blocks, allocated, attachments }) => [name, { blocks, allocated, attachments }]),
  );
}
