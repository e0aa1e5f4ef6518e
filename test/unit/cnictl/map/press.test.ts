import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { viewOf } from '../../../../cnictl/map/model.ts';
import { withEvents, trendText, NO_TREND } from '../../../../cnictl/map/trend.ts';
import { addressHappening, type CellEvent } from '../../../../ipam/events/event.ts';
import { formatAddress, parseAddress } from '../../../../ipam/model/address.ts';
import { blockKey } from '../../../../ipam/records/keys.ts';
import { del } from '../../../../ipam/records/transaction.ts';
import { factsOf, PureMap, watchedWorld } from '../../../support/map-world.ts';

const ESC = '\u001b';
const [UP, DOWN, RIGHT, LEFT, HOME, END, PGDN] = ['A', 'B', 'C', 'D', 'H', 'F', '6~'].map(
  (x) => `${ESC}[${x}`,
);

/** Returns where the cursor of the view of a range is. */
function at(map: PureMap): string {
  map.render();
  const view = viewOf(map.model);
  return view.kind === 'range' && view.at ? formatAddress(view.at) : view.kind;
}
const marked = (map: PureMap): string => map.lines.find((line) => line.startsWith('> ')) ?? '';

suite('keys on the map', () => {
  test('from the overview to an address, and back', async () => {
    const map = new PureMap(await factsOf(await watchedWorld()));
    assert.match(marked(map), /^> blue /);
    assert.match(marked(map.press('jjj')), /^> six /);
    assert.match(marked(map.press('k')), /^> green /);
    assert.match(marked(map.press('g')), /^> blue /);
    map.press('\r');
    assert.match(marked(map), /^> 10\.20\.0\.0\/28 {4}-{10}\.{6} +0\/6 {2}-$/);
    map.press('j');
    assert.equal(at(map), '10.20.0.16');
    assert.equal(at(map.press(`${RIGHT}l`)), '10.20.0.18');
    assert.match(map.text, /^10\.20\.0\.18 {2}used {2}shop\/db-0 {2}node-1 {2}3h$/m);
    map.press('\r');
    assert.match(map.text, /State +used\n.*Range +blue {2}10\.20\.0\.0\/22 {2}VLAN 120\n/);
    assert.match(map.text, /Enter: who had it before/);
    assert.equal(at(map.press('\u007f')), '10.20.0.18');
    assert.match(marked(map.press(`${ESC}q`)), /^> blue/);
    assert.equal(map.model.done, true);
  });

  test('a row ends where the next begins; folded rows are opened, and closed again', async () => {
    const map = new PureMap(await factsOf(await watchedWorld())).press('\r');
    assert.equal(at(map.press(`j${LEFT}`)), '10.20.0.15');
    assert.equal(at(map.press(RIGHT ?? '')), '10.20.0.16');
    map.press('j');
    assert.match(marked(map), /^> 10\.20\.0\.32\/28 to 10\.20\.0\.48\/28: 2 blocks unclaimed, 32 free$/);
    const folded = map.lines.filter((line) => /10\.20\./.test(line)).length;
    map.press('\r');
    assert.match(marked(map), /^> 10\.20\.0\.32\/28 {3}\.{16} +0\/16 {2}-/);
    assert.equal(map.lines.filter((line) => / \.{16} /.test(line)).length > folded, true);
    assert.equal(at(map.press(END ?? '')), '10.20.3.240');
    assert.equal(at(map.press(HOME ?? '')), '10.20.0.0');
    map.press(`${PGDN ?? ''}u`);
    assert.match(marked(map), /blocks unclaimed/);
    assert.equal(map.press('u').lines.length, 24);
  });

  test('search: the first, the next, the one before; nothing found is said', async () => {
    const map = new PureMap(await factsOf(await watchedWorld()));
    map.press('/web');
    assert.equal(map.lines.at(-1), '/web');
    map.press('\r');
    assert.deepEqual([at(map), map.lines.at(-1)], ['10.20.0.16', '1 of 2: pod shop/web-1']);
    assert.deepEqual([at(map.press('n')), map.lines.at(-1)], ['10.20.0.17', '2 of 2: pod shop/web-2']);
    assert.deepEqual([at(map.press('n')), map.lines.at(-1)], ['10.20.0.16', '1 of 2: pod shop/web-1']);
    assert.equal(at(map.press('N')), '10.20.0.17');
    assert.equal(map.press('j').lines.at(-1)?.startsWith('? help'), true);
    assert.equal(map.press('/nobody\r').lines.at(-1), 'nothing found: nobody');
    // The node's block, then its address of another range.
    assert.equal(at(map.press('/node-2\r')), '10.20.0.64');
    assert.match(at(map.press('n')), /^fd00:20::2c6f/);
    assert.equal(at(map.press('/10.20.3.7\r')), '10.20.3.7');
    assert.equal(at(map.press('/x\u0015six\r')), 'range');
    assert.match(map.lines[0] ?? '', /six {2}fd00:20::\/64/);
    assert.equal(map.press(`/x${ESC}`).press(ESC).model.prompt, undefined);
    assert.equal(new PureMap(map.facts).press('n').lines.at(-1), 'nothing was searched: / begins');
  });

  test('order: by fill, by address, and turned round; the cursor stays with its row', async () => {
    const map = new PureMap(await factsOf(await watchedWorld()));
    const names = (): string[] => map.lines.slice(2, 5).map((line) => /^[> ] (\S+)/.exec(line)?.[1] ?? '');
    assert.deepEqual(names(), ['blue', 'green', 'six']);
    map.press('jr');
    assert.deepEqual([...names(), marked(map).slice(2, 7)], ['six', 'green', 'blue', 'green']);
    map.press('s');
    assert.deepEqual([...names(), marked(map).slice(2, 7)], ['blue', 'six', 'green', 'green']);
    assert.match(map.lines.at(-1) ?? '', /sorted by fill/);
    const blocks = new PureMap(map.facts).press('\rjs');
    assert.match(blocks.lines[2] ?? '', /^> 10\.20\.0\.16\/28 .* node-1/);
    assert.match(marked(blocks.press('r')), /^> 10\.20\.0\.16\/28 .* node-1/);
  });

  test('a block that goes, and a range that goes, while somebody looks', async () => {
    const one = await watchedWorld();
    const map = new PureMap(await factsOf(one)).press('/10.20.0.66\r');
    const block = [...one.store.entries.values()].find(
      ({ key }) =>
        key ===
        blockKey('blue', {
          base: parseAddress('10.20.0.64'),
          prefixLength: 28,
        }),
    );
    await one.store.commit([], [del(block?.key ?? '')]);
    map.facts = await factsOf(one);
    assert.match(marked(map), /^> 10\.20\.0\.32\/28 to 10\.20\.3\.240\/28: 62 blocks unclaimed/);
    await one.store.commit([], [del('ranges/blue')]);
    map.facts = await factsOf(one);
    assert.match(map.text, /there is no range blue any more/);
    assert.match(map.press('jl\r').text, /there is no range blue any more/);
    assert.match(marked(map.press(ESC).pressKey({ kind: 'named', name: 'escape' })), /^> green/);
  });

  test('any keys on any size: a screen of just that size, no row beyond its edge', async () => {
    const facts = await factsOf(await watchedWorld());
    const keys = [
      'j',
      'k',
      'h',
      'l',
      '\r',
      '\u007f',
      ' ',
      'g',
      'G',
      's',
      'r',
      'u',
      '?',
      'n',
      '/web\r',
      '/',
      UP,
      DOWN,
      PGDN,
    ];
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...keys), { maxLength: 15 }),
        fc.integer({ min: 1, max: 130 }),
        fc.integer({ min: 1, max: 40 }),
        (pressed, columns, rows) => {
          const map = new PureMap(facts, { columns, rows });
          for (const each of pressed) map.press(each ?? '');
          assert.equal(map.lines.length, rows);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('the trend counts what pods get and give back', () => {
    const event = (type: 'assigned' | 'released' | 'kept', containerId: string | null): CellEvent => ({
      ...addressHappening(
        type,
        0,
        {
          block: {
            range: 'blue',
            node: 'n',
            cidr: { base: parseAddress('10.0.0.0'), prefixLength: 28 },
            claimedAt: 0,
            sequence: 0,
            slots: [],
          },
          index: 1,
        },
        containerId === null ? {} : { containerId },
      ),
      revision: 1,
      position: null,
    });
    const events = [
      event('assigned', 'a'),
      event('assigned', 'b'),
      event('released', 'a'),
      event('kept', 'b'),
      event('kept', null),
      event('released', null),
    ];
    assert.equal(trendText(withEvents(new Map(), events).get('blue') ?? NO_TREND), '+2 -2');
    assert.equal(trendText(NO_TREND), '');
  });
});
