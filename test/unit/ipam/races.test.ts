import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { claimAhead, returnIdle } from '../../../ipam/allocate/warm-blocks.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode } from '../../../ipam/node/local-node.ts';
import { addRange, removeRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { MAX_ATTEMPTS } from '../../../ipam/store/retry.ts';
import { give, ips, owner, range, World } from './world.ts';

suite('races', () => {
  test('when every commit is lost, the attempts end', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    let commits = 0;
    world.store.commit = () => {
      commits++;
      return Promise.resolve(undefined);
    };
    await assert.rejects(give(world, 'n', 'a'), { code: 'contention' });
    assert.equal(commits, MAX_ATTEMPTS);
  });

  test('a loser takes a turn for its next attempts, and ends it', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    const told: string[] = [];
    const takeTurn = (): Promise<() => void> => {
      told.push('turn');
      return Promise.resolve(() => void told.push('end'));
    };
    const ipam = directIpam(world.store, world.effects, { ...noLocalNode, takeTurn });
    const give = (id: string): Promise<unknown> =>
      allocate(ipam, { node: 'n', owner: owner(id), families: [4] });
    await give('a');
    assert.equal(told.length, 0);
    const commit = world.store.commit.bind(world.store);
    let losses = 2;
    world.store.commit = (...change) => {
      told.push('commit');
      return losses-- > 0 ? Promise.resolve(undefined) : commit(...change);
    };
    await give('b');
    assert.deepEqual(told, ['commit', 'turn', 'commit', 'commit', 'end']);
  });

  type Step =
    | { kind: 'give'; node: string; id: string; families: (4 | 6)[] }
    | { kind: 'release'; node: string; id: string }
    | { kind: 'stock'; node: string }
    | { kind: 'state'; name: string; state: 'active' | 'draining' }
    | { kind: 'remove'; name: string }
    | { kind: 'add'; name: string; cidr: string };
  const node = fc.constantFrom('n1', 'n2', 'n3');
  const id = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
  const name = fc.constantFrom('r1', 'r2');
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('give' as const),
        node,
        id,
        families: fc.constantFrom<(4 | 6)[]>([4], [4, 6]),
      }),
    },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('release' as const), node, id }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('stock' as const), node }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('state' as const),
        name,
        state: fc.constantFrom('active' as const, 'draining' as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), name }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Step>(
        { kind: 'add', name: 'r1', cidr: '10.1.0.0/27' },
        { kind: 'add', name: 'r2', cidr: '10.1.0.16/28' },
      ),
    },
  );

  /** Carries out one step. Each attachment belongs to one node: a container ID is never on two. */
  const carryOut = async (
    each: Step,
    given: { id: string; addresses: string[] }[],
    ipam: Ipam,
  ): Promise<void> => {
    switch (each.kind) {
      case 'give':
        given.push({
          id: `${each.node}-${each.id}`,
          addresses: ips(
            await allocate(ipam, {
              node: each.node,
              owner: owner(`${each.node}-${each.id}`),
              families: each.families,
            }),
          ),
        });
        return;
      case 'release':
        await release(ipam, {
          node: each.node,
          attachment: { containerId: `${each.node}-${each.id}`, ifname: 'eth0' },
          cause: { why: 'del' },
        });
        return;
      case 'stock': {
        await claimAhead(ipam, { node: each.node }, 4);
        const { idle } = await returnIdle(ipam, each.node, new Set());
        await returnIdle(ipam, each.node, idle);
        return;
      }
      case 'state':
        await setRangeState(ipam, each.name, each.state);
        return;
      case 'remove':
        await removeRange(ipam, each.name);
        return;
      case 'add':
        await addRange(ipam, range(each.cidr, { name: each.name, blockSize: 8, cooldownMs: 0 }));
        return;
    }
  };

  test('in any interleaving: no double owner, no lost slot, blocks and index agree after every commit', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(step, { minLength: 2, maxLength: 24 }),
        fc.array(fc.nat(2), { minLength: 24, maxLength: 24 }),
        fc.integer({ min: 1, max: 10_000 }),
        async (scheduler, steps, callers, seed) => {
          const world = new World(seed);
          const given: { id: string; addresses: string[] }[] = [];
          await addRange(world.ipam, range('10.1.0.0/27', { name: 'r1', blockSize: 8, cooldownMs: 0 }));
          await addRange(world.ipam, range('fd00::/124', { name: 'six', blockSize: 4, cooldownMs: 0 }));
          world.store.after = () => assert.deepEqual(world.problems(), []);
          // Some attachments exist already, so that releases have something to race for.
          for (const each of ['n1', 'n2']) {
            for (const before of ['a', 'b', 'c']) {
              given.push({
                id: `${each}-${before}`,
                addresses: ips(await give(world, each, `${each}-${before}`)),
              });
            }
          }
          world.store.before = (request) => scheduler.schedule(Promise.resolve(), request);
          // Two agents, which cache and batch, and the plugin without the agent, which does
          // neither, share the nodes.
          const processes = [world.ipam, world.agent(), world.agent()];
          const running = steps.map((each, i) =>
            carryOut(each, given, processes[callers[i] ?? 0] ?? world.ipam).catch((error: unknown) => {
              // A full, draining, used or missing range is an expected answer. Any other error is a
              // fault.
              const expected = ['exhausted', 'in-use', 'not-found', 'conflict'];
              if (!(error instanceof IpamError && expected.includes(error.code))) throw error;
            }),
          );
          // `waitIdle` would stop where a program takes more than 50 steps between two requests.
          await scheduler.waitFor(Promise.all(running));
          world.store.before = () => Promise.resolve();
          // An address that no step released still has its owner: no other write took it away.
          for (const { id: kept, addresses } of given) {
            if (steps.some((each) => each.kind === 'release' && `${each.node}-${each.id}` === kept)) continue;
            for (const ip of addresses) assert.equal(world.given().get(ip), kept);
          }
          // Nothing is lost: after all releases, IPAM can allocate each usable address again.
          for (const containerId of new Set(world.given().values())) {
            await release(world.ipam, {
              node: containerId.slice(0, 2),
              attachment: { containerId, ifname: 'eth0' },
              cause: { why: 'del' },
            });
          }
          assert.equal(world.given().size, 0);
          assert.deepEqual(world.problems(), []);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('20 callers on one node and 4 nodes at once get distinct addresses', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    world.store.before = turns;
    const all = await Promise.all([
      ...Array.from({ length: 20 }, (_, i) => give(world, 'n0', `x${i}`)),
      ...Array.from({ length: 20 }, (_, i) => give(world, `n${(i % 4) + 1}`, `y${i}`)),
    ]);
    assert.equal(new Set(all.flatMap(ips)).size, 40);
    assert.deepEqual(world.problems(), []);
  });
});
