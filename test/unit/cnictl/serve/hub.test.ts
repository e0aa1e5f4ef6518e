import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EventHub } from '../../../../cnictl/serve/hub.ts';
import { JSON_LINES, JSON_LINES_AND_BOOKMARKS, SSE } from '../../../../cnictl/serve/formats.ts';
import { happening, type CellEvent } from '../../../../ipam/events/event.ts';
import { parsePosition } from '../../../../ipam/events/position.ts';
import { KnownState, placed } from '../../../../ipam/events/state.ts';

const events = (revision: number, count: number): CellEvent[] =>
  placed(
    Array.from({ length: count }, (_, i) => happening('assigned', 0, { ip: `10.20.0.${i + 1}` })),
    revision,
    null,
  );

const hubOf = (kept?: number): EventHub => new EventHub(new KnownState(10), kept);

/** Returns what a listener gets that begins behind a position; undefined where it is too late. */
const behind = (hub: EventHub, position: string): string[] | undefined => {
  const first = hub.behind(parsePosition(position, 'it'));
  if (first === undefined) return undefined;
  return Array.from({ length: hub.end - first }, (_, i) => hub.at(first + i)?.event.position ?? '');
};

suite('the ring of events', () => {
  test('has what lies behind a position, within a revision, too', () => {
    const hub = hubOf();
    hub.take({ events: events(12, 3), revision: 12 });
    hub.take({ events: events(15, 1), revision: 15 });
    assert.deepEqual(behind(hub, '10'), ['12.1', '12.2', '12', '15']);
    assert.deepEqual(behind(hub, '11'), ['12.1', '12.2', '12', '15']);
    assert.deepEqual(behind(hub, '12.1'), ['12.2', '12', '15']);
    assert.deepEqual(behind(hub, '12'), ['15']);
    assert.deepEqual(behind(hub, '15'), []);
    assert.deepEqual(behind(hub, '99'), []);
    assert.equal(behind(hub, '9'), undefined);
  });

  test('forgets the oldest, and tells who is too late', () => {
    const hub = hubOf(16);
    for (let revision = 11; revision < 61; revision++) hub.take({ events: events(revision, 1), revision });
    assert.ok(hub.end - hub.first >= 16 && hub.end - hub.first <= 18);
    assert.equal(behind(hub, '20'), undefined);
    assert.deepEqual(behind(hub, '58'), ['59', '60']);
    const oldest = hub.at(hub.first)?.event.revision ?? 0;
    assert.equal(behind(hub, String(oldest - 1))?.length, hub.end - hub.first);
    assert.equal(behind(hub, String(oldest - 2)), undefined);
  });

  test('has a gap, and what bridges it, behind what came before', () => {
    const hub = hubOf();
    hub.take({ events: events(12, 1), revision: 12 });
    const gap = { revision: 20, position: '12', ...happening('gap', undefined, { from: 12, to: 20 }) };
    const bridged = events(20, 2).map((event, i) => ({
      ...event,
      position: i === 0 ? '12' : '20',
      recorded: true as const,
    }));
    hub.take({ events: [gap, ...bridged], revision: 20 });
    assert.deepEqual(behind(hub, '12'), ['12', '12', '20']);
    assert.deepEqual(behind(hub, '20'), []);
  });

  test('has nothing of a history that etcd has lost', () => {
    const hub = hubOf();
    hub.take({ events: events(50, 1), revision: 50 });
    const gap = happening('gap', undefined, { from: 50, to: 20, reason: 'set-back' });
    hub.take({ events: [{ revision: 20, position: '20', ...gap }], revision: 20 });
    assert.deepEqual(behind(hub, '19'), ['20']);
    assert.equal(hub.end - hub.first, 1);
  });

  test('wakes those who wait, once, and keeps nobody who has gone on', () => {
    const hub = hubOf();
    let woken = 0;
    const wake = (): void => void (woken += 1);
    hub.onMore(wake);
    hub.onMore(wake)();
    hub.onMore(() => (woken += 10))();
    assert.equal(hub.waiting, 0);
    hub.onMore(wake);
    hub.take({ events: [], revision: 10 });
    assert.equal(woken, 0);
    hub.take({ events: events(11, 1), revision: 11 });
    hub.wake();
    assert.deepEqual([woken, hub.waiting], [1, 0]);
  });
});

test('server-sent events have the position as their ID; an event without one leaves it', () => {
  assert.equal(SSE.event({ position: '12.1' }, '{"a":1}\n'), 'id: 12.1\ndata: {"a":1}\n\n');
  assert.equal(SSE.event({ position: null }, '{"a":1}\n'), 'data: {"a":1}\n\n');
  assert.equal(SSE.open('9'), 'retry: 1000\nid: 9\n\n');
  assert.equal(SSE.idle('9'), ': idle\nid: 9\n\n');
  assert.equal(JSON_LINES.idle('9'), '');
  assert.equal(JSON_LINES_AND_BOOKMARKS.idle('9'), '{"type":"bookmark","position":"9"}\n');
});
