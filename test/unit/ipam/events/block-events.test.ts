import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { eventsOfBlock, withMacs } from '../../../../ipam/events/block-events.ts';
import { noteOf, Notes } from '../../../../ipam/events/notes.ts';
import { parseAddress, parseCidr } from '../../../../ipam/model/address.ts';
import {
  newBlock,
  releaseSlot,
  expectedOf,
  takeSlot,
  type Block,
  type Slot,
} from '../../../../ipam/model/block.ts';
import type { Keep } from '../../../../ipam/model/keep.ts';
import { recordLifetime } from '../../../../ipam/records/history-record.ts';
import { EventLedger, toldOf } from '../../../support/event-ledger.ts';
import { owner, range } from '../world.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const blue = range('10.20.0.0/22', { name: 'blue', blockSize: 4 });
const cidr = parseCidr('10.20.0.16/30');
const podOf = (n: number) => ({ podNamespace: 'shop', podName: `web-${n}`, podUid: `uid-${n}` });

const time = fc.integer({ min: 0, max: 5 }).map((n) => NOW + n * 1_000);
const keep: fc.Arbitrary<Keep> = fc.record(
  {
    rule: fc.constantFrom('db', 'web'),
    since: time,
    forMs: fc.constantFrom(1_000, 2_000),
    anyPod: fc.constant(true as const),
  },
  { requiredKeys: ['rule', 'since'] },
);
const sequence = fc.integer({ min: 1, max: 3 });
const slot: fc.Arbitrary<Slot> = fc.oneof(
  fc.constant<Slot>({ state: 'free' }),
  fc.constant<Slot>({ state: 'reserved' }),
  fc.record(
    {
      state: fc.constant('used' as const),
      owner: fc.integer({ min: 0, max: 2 }).map((n) => owner(`c${n}`, n === 0 ? {} : podOf(n))),
      allocatedAt: time,
      sequence,
      node: fc.constantFrom('node-2', 'node-3'),
      keep,
      condemned: fc.record({ at: time, by: fc.constant('alice'), reason: fc.constant('pod-gone') }),
    },
    { requiredKeys: ['state', 'owner', 'allocatedAt', 'sequence'] },
  ),
  fc.record({
    state: fc.constant('kept' as const),
    pod: fc.integer({ min: 1, max: 2 }).map((n) => ({ namespace: 'shop', name: `web-${n}`, ifname: 'eth0' })),
    keep,
    keptAt: time,
    sequence,
  }),
  fc.record(
    {
      state: fc.constant('released' as const),
      releasedAt: time,
      sequence,
      conflictMac: fc.constant('02:00:00:00:00:01'),
    },
    { requiredKeys: ['state', 'releasedAt', 'sequence'] },
  ),
);
const block: fc.Arbitrary<Block | undefined> = fc.option(
  fc.record({
    range: fc.constant('blue'),
    cidr: fc.constant(cidr),
    node: fc.constantFrom('node-1', 'node-2'),
    claimedAt: time,
    sequence: fc.constant(9),
    slots: fc.array(slot, { minLength: 4, maxLength: 4 }),
  }),
  { nil: undefined, freq: 6 },
);
const listed = (one: Block | undefined): Block[] => (one ? [one] : []);

suite('events of a block', () => {
  test('with the block before, the events give the block after', () => {
    fc.assert(
      fc.property(block, block, (before, after) => {
        const ledger = toldOf(listed(before)).take(eventsOfBlock(before, after));
        const expected = toldOf(listed(after));
        assert.deepEqual(ledger.blocks, expected.blocks);
        assert.deepEqual(ledger.addresses, expected.addresses);
      }),
      { numRuns: 3_000 },
    );
  });

  test('no change is no event', () => {
    fc.assert(
      fc.property(block, (one) => assert.deepEqual(eventsOfBlock(one, one && structuredClone(one)), [])),
    );
  });

  test('its claim comes first and its return last', () => {
    fc.assert(
      fc.property(block, (one) => {
        const came = eventsOfBlock(undefined, one).map(({ type }) => type);
        const went = eventsOfBlock(one, undefined).map(({ type }) => type);
        assert.deepEqual(
          [came[0], went.at(-1)],
          one ? ['block-claimed', 'block-returned'] : [undefined, undefined],
        );
      }),
    );
  });

  const claimed = newBlock(blue, cidr, 'node-1', NOW);
  const taken = takeSlot(claimed, 1, owner('c1', podOf(1)), NOW + 1);

  test('an assignment has all names, and the MAC that cellnet gives the pod', () => {
    const [event, ...others] = eventsOfBlock(claimed, taken.block);
    assert.deepEqual(others, []);
    assert.deepEqual(event, {
      type: 'assigned',
      at: '2026-01-01T00:00:00.001Z',
      ip: '10.20.0.17',
      range: 'blue',
      block: '10.20.0.16/30',
      node: 'node-1',
      pod: { namespace: 'shop', name: 'web-1', uid: 'uid-1' },
      containerId: 'c1',
      ifname: 'eth0',
      mac: '0a:58:0a:14:00:11',
      network: 'cell',
      sequence: 1,
      allocatedAt: '2026-01-01T00:00:00.001Z',
    });
  });

  test('a release says why and by whom, where the transaction recorded it', () => {
    const cause = { why: 'leaked', detail: 'pod-gone', by: 'alice@admin-1' } as const;
    const given = parseAddress('10.20.0.17');
    const released = releaseSlot(taken.block, given, expectedOf(taken.slot), NOW + 9, cause);
    assert.ok(released.outcome === 'released');
    const { key, value } = recordLifetime(blue, released.block, released.lifetime);
    const note = noteOf(key, value);
    assert.ok(note);
    const told = eventsOfBlock(taken.block, released.block, new Notes([note]));
    assert.deepEqual(
      told.map(({ type, at, why, detail, by }) => [type, at, why, detail, by]),
      [['released', '2026-01-01T00:00:00.009Z', 'leaked', 'pod-gone', 'alice@admin-1']],
    );
    const [unexplained] = eventsOfBlock(taken.block, released.block);
    assert.equal(unexplained?.why, undefined);
  });

  test('an address that another host uses is released, then in conflict', () => {
    const cause = { why: 'conflict', conflictMac: '02:00:00:00:00:01' } as const;
    const released = releaseSlot(taken.block, parseAddress('10.20.0.17'), expectedOf(taken.slot), NOW, cause);
    assert.ok(released.outcome === 'released');
    assert.deepEqual(
      eventsOfBlock(taken.block, released.block).map(({ type, conflictMac }) => [type, conflictMac]),
      [
        ['released', undefined],
        ['conflict', '02:00:00:00:00:01'],
      ],
    );
  });

  test('an IPv6 address has the MAC of its IPv4 address, else one of its own', () => {
    const six = range('fd00::/64', { name: 'six' });
    const other = newBlock(six, parseCidr('fd00::10/124'), 'node-1', NOW);
    const both = takeSlot(other, 0, owner('c1'), NOW).block;
    const lone = takeSlot(other, 0, owner('c2'), NOW).block;
    const macsOf = (more: Block): (string | null)[] =>
      withMacs([...eventsOfBlock(claimed, taken.block), ...eventsOfBlock(other, more)]).map(({ mac }) => mac);
    assert.deepEqual(macsOf(both), ['0a:58:0a:14:00:11', '0a:58:0a:14:00:11']);
    assert.match(macsOf(lone)[1] ?? '', /^0a:59:/);
  });
});

test('a record of the history that is none is left out', () => {
  for (const value of ['', '{', '[]', '{"v":1}', '{"ip":"1.2.3.4","owner":null}'])
    assert.equal(noteOf('history/blue/10.20.0.16/28/0', value), undefined);
});

test('the ledger of the tests notices what cannot be', () => {
  const [event] = eventsOfBlock(
    newBlock(blue, cidr, 'node-1', NOW),
    takeSlot(newBlock(blue, cidr, 'node-1', NOW), 1, owner('c1'), NOW).block,
  );
  assert.ok(event);
  assert.throws(() => new EventLedger().take([event, event]));
});
