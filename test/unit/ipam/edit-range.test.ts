import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  formatAddress,
  formatSpan,
  parseAddress,
  parseCidr,
  parseSpan,
  subtractSpans,
} from '../../../ipam/model/address.ts';
import { newBlock, takeSlot, type Block, type Slot } from '../../../ipam/model/block.ts';
import {
  editRange,
  refitBlock,
  reservationChange,
  type InTheWay,
  type RangeEdit,
} from '../../../ipam/model/edit-range.ts';
import { makeRange } from '../../../ipam/model/new-range.ts';
import type { Range, Route } from '../../../ipam/model/range.ts';
import { validateBlock } from '../../../ipam/model/validate-block.ts';
import { decodeRange, encodeRange } from '../../../ipam/records/range-record.ts';
import { owner, range } from './world.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const spans = (...texts: string[]): ReturnType<typeof parseSpan>[] => texts.map((text) => parseSpan(text));
const route = (destination: string, via?: string): Route => ({
  destination: parseCidr(destination),
  ...(via !== undefined && { via: parseAddress(via) }),
});
const blue = makeRange({
  name: 'blue',
  cidr: parseCidr('10.20.0.0/24'),
  gateway: parseAddress('10.20.0.1'),
  exclude: spans('10.20.0.8-10.20.0.11'),
  routes: [route('10.96.0.0/12', '10.20.0.3'), route('10.97.0.0/16')],
});
const exclusions = ({ exclude }: Range): string => exclude.map(formatSpan).join(' ');
const routes = (edited: Range): string[] =>
  edited.routes.map(
    ({ destination, via }) => `${formatAddress(destination.base)} ${via ? formatAddress(via) : ''}`,
  );

suite('an edit of a range', () => {
  test('spans without others', () => {
    const left = (from: string, ...others: string[]): string =>
      subtractSpans(spans(from), spans(...others))
        .map(formatSpan)
        .join(' ');
    assert.equal(left('10.0.0.0-10.0.0.9', '10.0.0.3-10.0.0.4'), '10.0.0.0-10.0.0.2 10.0.0.5-10.0.0.9');
    assert.equal(left('10.0.0.0-10.0.0.9', '10.0.0.0', '10.0.0.9'), '10.0.0.1-10.0.0.8');
    assert.equal(left('10.0.0.0-10.0.0.9', '10.0.0.0/24'), '');
    assert.equal(left('10.0.0.0-10.0.0.9', '10.0.1.0/24', 'fd00::/64'), '10.0.0.0-10.0.0.9');
  });

  test('nothing to change leaves the record as it was', () => {
    assert.equal(encodeRange(editRange(blue, {}, NOW)), encodeRange(blue));
    const same = { exclude: spans('10.20.0.9'), include: spans('10.20.0.100') };
    assert.equal(encodeRange(editRange(blue, same, NOW)), encodeRange(blue));
    const again = { gateway: parseAddress('10.20.0.1'), routes: [route('10.97.0.0/16')] };
    assert.equal(encodeRange(editRange(blue, again, NOW)), encodeRange(blue));
  });

  test('exclusions come and go in parts; gateway and routes keep their time', () => {
    const edited = editRange(
      blue,
      { exclude: spans('10.20.0.12', '10.20.0.64/28'), include: spans('10.20.0.9-10.20.0.10') },
      NOW,
    );
    assert.equal(exclusions(edited), '10.20.0.8 10.20.0.11-10.20.0.12 10.20.0.64-10.20.0.79');
    assert.equal(edited.routesChangedAt, undefined);
    const { reserved, freed } = reservationChange(blue, edited);
    assert.deepEqual(reserved.map(formatSpan), ['10.20.0.12', '10.20.0.64-10.20.0.79']);
    assert.deepEqual(freed.map(formatSpan), ['10.20.0.9-10.20.0.10']);
  });

  test('a former gateway and next hop stay excluded, unless they are included', () => {
    const other: RangeEdit = {
      gateway: parseAddress('10.20.0.2'),
      removeRoutes: [parseCidr('10.96.0.0/12')],
    };
    const edited = editRange(blue, other, NOW);
    assert.equal(edited.gateway && formatAddress(edited.gateway), '10.20.0.2');
    assert.equal(exclusions(edited), '10.20.0.1 10.20.0.3 10.20.0.8-10.20.0.11');
    assert.equal(edited.routesChangedAt, NOW);
    assert.deepEqual(reservationChange(blue, edited), { reserved: spans('10.20.0.2'), freed: [] });
    const free = editRange(blue, { ...other, include: spans('10.20.0.1-10.20.0.3') }, NOW);
    assert.equal(exclusions(free), '10.20.0.8-10.20.0.11');
    assert.deepEqual(reservationChange(blue, free).freed.map(formatSpan), ['10.20.0.1', '10.20.0.3']);
    // As a next hop of another route it is still in use.
    const hop = editRange(blue, { ...other, routes: [route('10.98.0.0/16', '10.20.0.1')] }, NOW);
    assert.equal(exclusions(hop), '10.20.0.3 10.20.0.8-10.20.0.11');
  });

  test('routes take the place of those to the same destination, in their place', () => {
    const edited = editRange(
      blue,
      { routes: [route('10.96.0.0/12', '10.20.0.4'), route('10.99.0.0/16')] },
      NOW,
    );
    assert.deepEqual(routes(edited), ['10.96.0.0 10.20.0.4', '10.97.0.0 ', '10.99.0.0 ']);
    const less = editRange(
      edited,
      { removeRoutes: [parseCidr('10.97.0.0/16'), parseCidr('10.7.0.0/16')] },
      NOW,
    );
    assert.deepEqual(routes(less), ['10.96.0.0 10.20.0.4', '10.99.0.0 ']);
  });

  test('a link-local gateway of IPv6 is none of the range, and none of its exclusions', () => {
    const six = range('fd00:20::/64', { gateway: 'fe80::1' });
    const edited = editRange(six, { gateway: parseAddress('fd00:20::1') }, NOW);
    assert.equal(exclusions(edited), '');
    assert.deepEqual(reservationChange(six, edited).reserved.map(formatSpan), ['fd00:20::1']);
  });

  for (const [what, edit, message] of [
    [
      'an exclusion outside',
      { exclude: spans('10.21.0.1') },
      /exclusion 10\.21\.0\.1 is not inside 10\.20\.0\.0\/24/,
    ],
    [
      'an inclusion outside',
      { include: spans('10.21.0.1') },
      /inclusion 10\.21\.0\.1 is not inside 10\.20\.0\.0\/24: expected addresses from/,
    ],
    [
      'both of an address',
      { exclude: spans('10.20.0.5-10.20.0.7'), include: spans('10.20.0.7-10.20.0.9') },
      /10\.20\.0\.7 is to be both excluded and included/,
    ],
    ['everything excluded', { exclude: spans('10.20.0.0/24') }, /exclusions leave no address/],
    ['a gateway outside', { gateway: parseAddress('10.21.0.1') }, /gateway 10\.21\.0\.1 is outside/],
    ['the network address', { gateway: parseAddress('10.20.0.0') }, /is the network address/],
    ['a route by the gateway that goes', { gateway: null }, /route 10\.97\.0\.0\/16/],
    ['a second default route', { routes: [route('0.0.0.0/0', '10.20.0.2')] }, /one default route too many/],
    [
      'two routes to one destination',
      { routes: [route('10.98.0.0/16', '10.20.0.2'), route('10.98.0.0/16', '10.20.0.4')] },
      /route 10\.98\.0\.0\/16 is given more than once/,
    ],
    ['a cooldown', { cooldownMs: -1 }, /cooldown -1 ms/],
  ] as [string, RangeEdit, RegExp][])
    test(`${what} is refused`, () => {
      assert.throws(() => editRange(blue, edit, NOW), { code: 'invalid', message });
    });

  test('the time of the change survives the record, and an older record has none', () => {
    const edited = editRange(blue, { gateway: parseAddress('10.20.0.2') }, NOW);
    assert.deepEqual(decodeRange('ranges/blue', encodeRange(edited)), edited);
    assert.equal(decodeRange('ranges/blue', encodeRange(blue)).routesChangedAt, undefined);
  });
});

suite('a block of an edited range', () => {
  const slots = (block: Block): string[] => block.slots.slice(0, 8).map(({ state }) => state);
  const cidr = parseCidr('10.30.0.16/28');
  const before = range('10.30.0.0/24', { name: 'red', exclude: ['10.30.0.16'] });
  const after = editRange(
    before,
    { exclude: spans('10.30.0.17-10.30.0.20'), include: spans('10.30.0.16') },
    NOW,
  );
  const withSlot = (index: number, slot: Slot, sequence = 9): Block => {
    const block = newBlock(before, cidr, 'n', 0);
    return { ...block, sequence, slots: block.slots.with(index, slot) };
  };

  test('slots are reserved and freed; what rests is reserved at once; what is freed rests', () => {
    const found: InTheWay[] = [];
    const resting = withSlot(1, { state: 'released', releasedAt: NOW, sequence: 3 });
    const block = refitBlock(resting, after, NOW, found);
    assert.deepEqual(slots(block), [
      'released',
      ...Array<string>(4).fill('reserved'),
      ...['free', 'free', 'free'],
    ]);
    assert.deepEqual([found, block.sequence], [[], 10]);
    assert.deepEqual(block.slots[0], { state: 'released', releasedAt: NOW, sequence: 10 });
    assert.deepEqual(validateBlock(block, after), []);
    const aside = withSlot(2, {
      state: 'released',
      releasedAt: NOW,
      sequence: 3,
      conflictMac: '02:00:00:00:00:01',
    });
    assert.deepEqual(validateBlock(refitBlock(aside, after, NOW, found), after), []);
  });

  test('what a pod has, and what is kept, is in the way', () => {
    const used = takeSlot(newBlock(before, cidr, 'n', 0), 3, owner('a'), NOW).block;
    const kept = (forMs: number): Slot => ({
      state: 'kept',
      pod: { namespace: 'shop', name: 'db-0', ifname: 'eth0' },
      keep: { rule: 'db', since: NOW, forMs },
      keptAt: NOW,
      sequence: 4,
    });
    const found: InTheWay[] = [];
    assert.equal(refitBlock(used, after, NOW, found).slots[3]?.state, 'used');
    refitBlock(withSlot(4, kept(1_000)), after, NOW, found);
    assert.deepEqual(
      found.map(({ address, slot }) => `${formatAddress(address)} ${slot.state}`),
      ['10.30.0.19 used', '10.30.0.20 kept'],
    );
    const ended: InTheWay[] = [];
    const block = refitBlock(withSlot(4, kept(1_000)), after, NOW + 2_000, ended);
    assert.deepEqual([ended, block.slots[4]?.state], [[], 'reserved']);
  });
});
