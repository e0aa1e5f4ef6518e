import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parse } from 'yaml';
import { put } from '../../../ipam/records/transaction.ts';
import { CliWorld } from '../../golden/world.ts';
import { WatchedMemory } from '../../support/watched-memory.ts';

/** The usual cluster of the tests, in a store that remembers its revisions. */
async function watched(): Promise<{ world: CliWorld; store: WatchedMemory }> {
  const world = await CliWorld.make();
  const store = new WatchedMemory();
  for (const { key, value } of world.ipam.store.entries.values()) await store.commit([], [put(key, value)]);
  world.openEvents = () =>
    Promise.resolve({ watches: store.watches, effects: world.ipam.effects, close: () => undefined });
  return { world, store };
}

suite('cnictl events', () => {
  test('prints the last hour, a line for each event', async () => {
    const { world } = await watched();
    const { status, stdout, stderr } = await world.run('events --node node-2');
    assert.deepEqual([status, stderr], [0, '']);
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.includes('10.20.0.6')),
      [
        '2026-01-01T03:00:00Z  block-claimed   10.20.0.64/28    node-2  blue',
        '2026-01-01T03:00:00Z  assigned        10.20.0.64       shop/api-1  node-2  blue',
        '2026-01-01T03:00:00Z  assigned        10.20.0.65       node-2  blue',
      ],
    );
    const shop = await world.run('events --since 24h --namespace shop --range blue -o json');
    const events = shop.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { ip: string; mac: string });
    assert.deepEqual(
      events.map(({ ip, mac }) => `${ip} ${mac}`),
      ['16 10', '17 11', '18 12', '19 13', '64 40'].map((pair) => {
        const [last = '', hex = ''] = pair.split(' ');
        return `10.20.0.${last} 0a:58:0a:14:00:${hex}`;
      }),
    );
  });

  test('as YAML: a document for each', async () => {
    const { world } = await watched();
    const { stdout } = await world.run('events --initial --range green -o yaml');
    const documents = stdout
      .split('---\n')
      .slice(1)
      .map((text) => parse(text) as { type: string; range: string });
    assert.deepEqual(
      documents.map(({ type, range }) => `${type} ${range}`),
      ['range-added green', 'synced null'],
    );
  });

  test('nothing that happened is said; a name that nothing has is warned of', async () => {
    const { world } = await watched();
    const { stdout, stderr } = await world.run('events --range nirvana --node node-99');
    assert.equal(stdout, 'No events.\n');
    assert.match(
      stderr,
      /there is no range 'nirvana' at revision \d+\n.*nothing is known of a node 'node-99'/,
    );
  });

  test('a gap says what is missing', async () => {
    const { world, store } = await watched();
    await store.commit([], [put('ranges/none', '{}')]);
    store.compact();
    const { stdout } = await world.run('events --after 2');
    const [first = ''] = stdout.split('\n');
    assert.match(first, /^- +gap +- +revisions 3 to \d+ \(compacted\): not all of it is told below$/);
  });

  test('wrong options are refused, with what was expected', async () => {
    const { world } = await watched();
    for (const [options, message] of [
      ['--since 1h --initial', /--since and --initial: expected one of them, each says where to begin/],
      ['--from-revision x', /--from-revision 'x': expected a revision of etcd, such as 912/],
      ['--from-revision 999', /--from-revision '999': etcd is at revision \d+\n/],
      ['--after x', /--after 'x': expected a position of an event, such as 912 or 912\.3/],
      ['--since yesterday', /--since 'yesterday': expected a duration/],
      ['--bookmarks', /--bookmarks is for programs: expected -o json or yaml with it/],
    ] as const) {
      const { status, stderr } = await world.run(`events ${options}`);
      assert.equal(status, 2);
      assert.match(stderr, message);
    }
  });

  test('--bookmarks tells first how far it is', async () => {
    const { world, store } = await watched();
    const { stdout } = await world.run(`events --after ${store.revision} --bookmarks -o json`);
    assert.deepEqual(JSON.parse(stdout), { type: 'bookmark', position: String(store.revision) });
  });
});
