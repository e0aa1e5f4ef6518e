import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { KnownBridges } from '../../../../cni/agent/known-bridges.ts';
import { hostEffects } from '../../../../cni/host/effects.ts';
import type { BridgeInfo } from '../../../../cni/platform/switch.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Fakes an Open vSwitch with a map of bridges. It records each look, and fails while it is away.
 */
function world(t: TestContext): {
  readonly bridges: Map<string, BridgeInfo>;
  readonly known: KnownBridges;
  readonly looks: string[];
  readonly state: { away: boolean };
} {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const bridges = new Map([['br-a', { userspace: true, uplinkMtu: 1500 }]]);
  const looks: string[] = [];
  const state = { away: false };
  const known = new KnownBridges((bridge) => {
    looks.push(bridge);
    return state.away ? Promise.reject(new Error('away')) : Promise.resolve(bridges.get(bridge));
  }, hostEffects);
  t.after(() => known.close());
  return { bridges, known, looks, state };
}

suite('bridges that calls have asked for', () => {
  test('are asked for once; what is missing each time', async (t) => {
    const { known, looks } = world(t);
    for (let n = 0; n < 2; n++) {
      assert.equal((await known.get('br-a'))?.uplinkMtu, 1500);
      assert.equal(await known.get('br-b'), undefined);
    }
    assert.deepEqual(looks, ['br-a', 'br-b', 'br-b']);
  });

  test('many changes are one look, a moment later; a call that is faster looks itself, and then that is enough', async (t) => {
    const { bridges, known, looks } = world(t);
    await known.get('br-a');
    bridges.set('br-a', { userspace: true, uplinkMtu: 1400 });
    for (let n = 0; n < 5; n++) known.changed();
    assert.equal(looks.length, 1);
    t.mock.timers.tick(50);
    assert.equal(looks.length, 2);
    assert.equal((await known.get('br-a'))?.uplinkMtu, 1400);
    assert.equal(looks.length, 2);
    bridges.set('br-a', { userspace: true, uplinkMtu: 1300 });
    known.changed();
    assert.equal((await known.get('br-a'))?.uplinkMtu, 1300);
    t.mock.timers.tick(50);
    assert.equal(looks.length, 3);
  });

  test('are looked at every minute', async (t) => {
    const { bridges, known, looks } = world(t);
    await known.get('br-a');
    bridges.set('br-a', { userspace: true, uplinkMtu: 1400 });
    t.mock.timers.tick(60_000);
    assert.equal((await known.get('br-a'))?.uplinkMtu, 1400);
    assert.equal(looks.length, 2);
  });

  test('a look that fails is no answer: the next call asks, and is told why', async (t) => {
    const { known, looks, state } = world(t);
    await known.get('br-a');
    state.away = true;
    known.changed();
    t.mock.timers.tick(50);
    await assert.rejects(known.get('br-a'), /away/);
    await settled();
    state.away = false;
    assert.equal((await known.get('br-a'))?.uplinkMtu, 1500);
    assert.equal(looks.length, 4);
  });
});
