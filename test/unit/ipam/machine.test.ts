import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { isSameMachine, type Machine } from '../../../ipam/model/machine.ts';
import { setBackReason } from '../../../ipam/node/fence.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import {
  decodeMachineRecord,
  encodeMachineRecord,
  machineKey,
  ownsName,
} from '../../../ipam/records/machine-record.ts';
import { ipamOf, localNode, machine, recordOf } from './machines.ts';
import { owner, range, World } from './world.ts';

suite('which descriptions are of one machine', () => {
  const [CARD, OTHER, THIRD] = ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03'];
  const [UUID, UUID2] = ['4c4c4544-0001', '4c4c4544-0002'];
  const cases: [string, Partial<Machine>, Partial<Machine>, boolean][] = [
    [
      'a clone: all but the cards',
      { productUuid: UUID, machineId: 'm', macs: [CARD] },
      { productUuid: UUID, machineId: 'm', macs: [OTHER] },
      false,
    ],
    [
      'a new system on the same cards',
      { productUuid: UUID, machineId: 'm', macs: [CARD] },
      { productUuid: UUID, machineId: 'n', macs: [CARD] },
      true,
    ],
    [
      'one card of two was replaced',
      { productUuid: UUID, macs: [CARD, OTHER] },
      { productUuid: UUID, macs: [CARD, THIRD] },
      true,
    ],
    [
      'a firmware update changed the UUID',
      { productUuid: UUID, macs: [CARD, OTHER] },
      { productUuid: UUID2, macs: [CARD, OTHER] },
      true,
    ],
    [
      'virtual machines that share the MAC of a private interface',
      { productUuid: UUID, machineId: 'm', macs: [CARD, OTHER] },
      { productUuid: UUID2, machineId: 'm', macs: [CARD, THIRD] },
      false,
    ],
    [
      'containers on one host',
      { productUuid: UUID, machineId: 'm' },
      { productUuid: UUID, machineId: 'n' },
      false,
    ],
    ['a container without a machine ID', { productUuid: UUID }, { productUuid: UUID }, true],
    [
      'cards that the kernel has not found yet',
      { productUuid: UUID, machineId: 'm', macs: [CARD] },
      { productUuid: UUID, machineId: 'm' },
      true,
    ],
    ['nothing to compare', { macs: [CARD] }, { machineId: 'm' }, false],
    ['names given by an operator', { machineId: 'a' }, { machineId: 'b' }, false],
  ];
  for (const [what, a, b, expected] of cases)
    test(what, () => {
      assert.equal(isSameMachine(machine('x', a), machine('y', b)), expected);
      assert.equal(isSameMachine(machine('y', b), machine('x', a)), expected);
    });
});

suite('the machine that has a node name', () => {
  const [A, B] = [
    machine('aaa', { macs: ['02:00:00:00:00:0a'] }),
    machine('bbb', { macs: ['02:00:00:00:00:0b'] }),
  ];
  const record = { generation: 1, mark: 'm' };

  test('is the one of the record; from an adoption on it is the adopting one', () => {
    assert.equal(ownsName(undefined, B), true);
    assert.equal(ownsName(record, B), true);
    assert.equal(ownsName({ ...record, machine: A }, A), true);
    assert.equal(ownsName({ ...record, machine: A }, B), false);
    assert.equal(ownsName({ ...record, machine: A }, undefined), true);
    assert.equal(ownsName({ ...record, machine: A, adoptedBy: 'bbb' }, B), true);
    assert.equal(ownsName({ ...record, machine: A, adoptedBy: 'bbb' }, A), false);
    assert.equal(ownsName({ ...record, machine: A, adoptedBy: 'ccc' }, B), false);
  });

  test('the record keeps the time of its write', () => {
    const at = Date.parse('2026-11-21T04:50:25.151Z');
    const value = encodeMachineRecord({ ...record, at, machine: A });
    assert.match(value, /"at":"2026-11-21T04:50:25.151Z"/);
    assert.deepEqual(decodeMachineRecord('k', value), { ...record, at, machine: A });
  });

  const give = (ipam: Ipam, id: string): Promise<unknown> =>
    allocate(ipam, { node: 'n', owner: owner(id), families: [4] });
  const started = async (): Promise<World> => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/24', { name: 'r' }));
    return world;
  };
  const adopt = async (world: World, by: string): Promise<void> => {
    const value = encodeMachineRecord({ ...(recordOf(world, 'n') ?? record), adoptedBy: by });
    await world.store.commit([], [{ kind: 'put', key: machineKey('n'), value }]);
  };

  test('another machine is refused, and the error names both and the way out', async () => {
    const world = await started();
    await give(ipamOf(world, localNode(A)), 'p');
    const before = world.store.revision;
    const second = ipamOf(world, localNode(B));
    const refused = (error: unknown): boolean => {
      assert.ok(error instanceof IpamError);
      assert.equal(error.code, 'other-machine');
      assert.match(error.message, /'n' belongs to machine aaa \(02:.*0a\); this is machine bbb \(02:.*0b\)/);
      assert.match(error.remedy, /cnictl node adopt n --machine bbb/);
      return true;
    };
    await assert.rejects(give(second, 'q'), refused);
    await assert.rejects(roomFor(second, { node: 'n', families: [4] }), refused);
    assert.equal(world.store.revision, before);
  });

  test('after an adoption the old machine is refused even before the new one writes', async () => {
    const world = await started();
    const [first, second] = [ipamOf(world, localNode(A)), ipamOf(world, localNode(B))];
    await give(first, 'p');
    await adopt(world, 'bbb');
    await assert.rejects(give(first, 'q'), /belongs to machine bbb; this is machine aaa/);
    // A process that speaks for no machine does not end the adoption.
    await give(world.ipam, 'r');
    assert.equal(recordOf(world, 'n')?.adoptedBy, 'bbb');
    await give(second, 's');
    const { machine: now, adoptedBy, bootId } = recordOf(world, 'n') ?? {};
    assert.deepEqual([now?.id, adoptedBy, bootId], ['bbb', undefined, 'boot-of-bbb']);
    await assert.rejects(give(first, 't'), { code: 'other-machine' });
  });

  test('a node that was removed and comes back sees no set-back, and counts on', async () => {
    const world = await started();
    const local = localNode(A);
    const ipam = ipamOf(world, local);
    for (const id of ['p', 'q', 'r']) await give(ipam, id);
    for (const key of [...world.store.entries.keys()].filter((each) => !each.startsWith('ranges/')))
      await world.store.commit([], [{ kind: 'delete', key }]);
    await give(ipam, 's');
    assert.equal(recordOf(world, 'n')?.generation, 4);
    // A process that still has the count of before sees a later one.
    await give(ipamOf(world, local), 't');
    assert.deepEqual(ipam.wroteBack, []);
    assert.equal(world.store.entries.has('cluster/set-back'), false);
  });

  test('a count that went back is a set-back', () => {
    const fence = { clusterId: '1', revision: '10', generation: 5 };
    const at = (generation: number): string | undefined =>
      setBackReason(fence, { clusterId: '1', revision: '20', generation });
    assert.equal(at(0), undefined);
    assert.match(at(4) ?? '', /count of writes went back from 5 to 4/);
    assert.equal(at(5), undefined);
  });
});
