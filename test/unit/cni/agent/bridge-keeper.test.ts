import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { BridgeConnection } from '../../../../cni/agent/dataplane/bridge-connection.ts';
import { BridgeKeeper } from '../../../../cni/agent/dataplane/bridge-keeper.ts';
import type { LocalPod } from '../../../../cni/dataplane/local-pod.ts';
import { FIRST_GROUP } from '../../../../cni/dataplane/tables.ts';
import { hostEffects } from '../../../../cni/host/effects.ts';
import type { Modification } from '../../../../cni/openflow/program.ts';
import type { Frontend } from '../../../../cni/services/frontend.ts';
import { parseAddress } from '../../../../ipam/model/address.ts';

const pod = (number: number): LocalPod => ({
  ...{ port: `cell${number}`, ofport: number, vlan: 120, mac: BigInt(number) },
  addresses: [parseAddress(`10.20.0.${number}`)],
});

/** A bridge that notes its bundles, refuses or leaves a connection when it is told to. */
function world(t: TestContext, services = true) {
  const bundles: (readonly Modification[])[] = [];
  const told: string[] = [];
  const timers: { ms: number; work: () => void }[] = [];
  const state = {
    refuses: false,
    away: false,
    flows: 7,
    groups: [] as number[],
    closed: 0,
    later: 0,
    sendsNothing: false,
  };
  const sent: string[] = [];
  let lost: () => void = () => undefined;
  let gate: Promise<void> = Promise.resolve();
  const connection: BridgeConnection = {
    bundle: async (changes) => {
      const all = [...changes];
      await gate;
      if (state.refuses) throw new Error('refused');
      bundles.push(all);
    },
    send: (changes) => {
      if (state.sendsNothing && changes.some(({ kind }) => kind === 'flush-connections'))
        return Promise.reject(new Error('lost'));
      sent.push(...changes.map(({ kind }) => kind));
      return Promise.resolve();
    },
    countFlows: () => Promise.resolve(state.flows),
    listMatches: () => Promise.resolve([]),
    listGroups: () => Promise.resolve(state.groups.map((id) => ({ id }))),
    listMeters: () => Promise.resolve([]),
    close: () => {
      state.closed++;
    },
  };
  const keeper = new BridgeKeeper({
    connect: (onLost) => {
      lost = onLost;
      return state.away ? Promise.reject(new Error('nobody answers')) : Promise.resolve(connection);
    },
    services,
    events: {
      sent: (changes) => void told.push(`sent ${changes > 0 ? 'changes' : 'nothing'}`),
      failed: (reason) => void told.push(`failed: ${reason}`),
      differed: (found, expected) => void told.push(`differed: ${found} for ${expected}`),
    },
    effects: {
      ...hostEffects,
      monotonic: () => hostEffects.monotonic() + state.later,
      schedule: (ms, work) => {
        const timer = { ms, work };
        timers.push(timer);
        return { cancel: () => void timers.splice(timers.indexOf(timer) >>> 0, 1) };
      },
    },
  });
  t.after(() => keeper.close());
  return {
    ...{ keeper, bundles, told, timers, state, sent },
    lose: () => lost(),
    /** Holds bundles until the returned function is called. */
    hold: (): (() => void) => {
      let open: () => void = () => undefined;
      gate = new Promise((resolve) => (open = resolve));
      return open;
    },
    fire: (ms: number): void => {
      const at = timers.findIndex((timer) => timer.ms === ms);
      assert.ok(at >= 0, `a timer of ${ms} ms, of ${timers.map((timer) => timer.ms).join()}`);
      timers.splice(at, 1)[0]?.work();
    },
  };
}

const kinds = (bundle: readonly Modification[] | undefined): string[] => [
  ...new Set(bundle?.map(({ kind }) => kind)),
];

suite('a bridge that is kept as it is to be', () => {
  test('gets everything first, then what changed; what comes at once is one bundle', async (t) => {
    const { keeper, bundles } = world(t);
    keeper.servicesKnown();
    await keeper.inPlace();
    assert.deepEqual(kinds(bundles[0]), ['delete-flows', 'put-flow']);
    for (const number of [1, 2]) {
      keeper.program.setPods([1, 2].slice(0, number).map(pod));
      keeper.changed();
    }
    await keeper.inPlace();
    assert.equal(bundles.length, 2);
    assert.deepEqual(kinds(bundles[1]), ['put-flow']);
    assert.equal(keeper.isInPlace, true);
  });

  test('what changes while a bundle is under way is in the next', async (t) => {
    const { keeper, bundles, hold } = world(t);
    keeper.servicesKnown();
    await keeper.inPlace();
    const open = hold();
    keeper.program.setPods([pod(1)]);
    keeper.changed();
    await new Promise(setImmediate);
    keeper.program.setPods([pod(1), pod(2)]);
    keeper.changed();
    const inPlace = keeper.inPlace();
    open();
    await inPlace;
    assert.equal(bundles.length, 3);
  });

  test('as long as not all Services are known, theirs stay as they are', async (t) => {
    const { keeper, bundles } = world(t);
    keeper.changed();
    await keeper.inPlace();
    const cookies = bundles[0]?.flatMap((each) => (each.kind === 'delete-flows' ? [each.cookie >> 40n] : []));
    assert.deepEqual(cookies, [0xce1100n, 0xce1101n]);
    assert.equal(keeper.isInPlace, false);
    keeper.servicesKnown();
    await keeper.inPlace();
    assert.equal(keeper.isInPlace, true);
  });

  test('a lost connection is opened again, and everything is sent again', async (t) => {
    const { keeper, bundles, lose, state, told, fire } = world(t);
    keeper.servicesKnown();
    await keeper.inPlace();
    state.away = true;
    lose();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(keeper.isInPlace, false);
    for (let i = 0; i < 3; i++) {
      fire(50);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(keeper.isFailing, false);
    state.later = 1_000;
    fire(50);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(keeper.isFailing, true);
    state.away = false;
    fire(1_000);
    await keeper.inPlace();
    assert.equal(keeper.isFailing, false);
    assert.deepEqual(kinds(bundles[1]), ['delete-flows', 'put-flow']);
    assert.equal(told.filter((each) => each === 'failed: nobody answers').length, 5);
  });

  test('a refused bundle changes nothing; the next one brings everything', async (t) => {
    const { keeper, bundles, state, fire } = world(t);
    keeper.servicesKnown();
    await keeper.inPlace();
    state.refuses = true;
    keeper.program.setPods([pod(1)]);
    keeper.changed();
    await new Promise((resolve) => setTimeout(resolve, 20));
    state.refuses = false;
    fire(50);
    await keeper.inPlace();
    assert.equal(bundles.length, 2);
    assert.deepEqual(kinds(bundles[1]), ['delete-flows', 'put-flow']);
  });

  test('connections are flushed, also if the connection to the bridge ends before that', async (t) => {
    const { keeper, state, sent, fire } = world(t);
    const place = { address: parseAddress('10.96.0.10'), protocol: 17, port: 53 } as const;
    const frontend: Frontend = {
      ...{ service: 'a/dns', portName: '', kind: 'cluster', affinitySeconds: undefined },
      ...{ ...place, sourceRanges: undefined },
      endpoints: [{ ...place, address: parseAddress('10.20.0.9'), nodeName: undefined, podUid: undefined }],
    };
    keeper.program.setFrontend('dns', frontend);
    keeper.servicesKnown();
    await keeper.inPlace();
    state.sendsNothing = true;
    keeper.program.setFrontend('dns', { ...frontend, endpoints: [] });
    keeper.changed();
    await new Promise((resolve) => setTimeout(resolve, 20));
    state.sendsNothing = false;
    fire(50);
    await keeper.inPlace();
    assert.deepEqual(
      sent.filter((kind) => kind === 'flush-connections'),
      ['flush-connections'],
    );
  });

  test('groups that an earlier agent left go, those of others stay', async (t) => {
    const { keeper, bundles, state } = world(t);
    state.groups = [7, FIRST_GROUP + 3];
    keeper.servicesKnown();
    await keeper.inPlace();
    assert.deepEqual(
      bundles[0]?.filter(({ kind }) => kind === 'delete-group'),
      [{ kind: 'delete-group', id: FIRST_GROUP + 3 }],
    );
  });

  test('flows that somebody changed are sent again', async (t) => {
    const { keeper, bundles, state, told, fire } = world(t);
    keeper.servicesKnown();
    await keeper.inPlace();
    fire(10_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(bundles.length, 1, 'all as it was');
    state.flows--;
    fire(10_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await keeper.inPlace();
    assert.equal(bundles.length, 2);
    assert.ok(told.some((each) => each.startsWith('differed')));
  });

  test('a keeper that only limits pods sends no flows for Services', async (t) => {
    const { keeper, bundles } = world(t, false);
    keeper.program.setPods([pod(1)]);
    keeper.servicesKnown();
    await keeper.inPlace();
    const tables = new Set(
      bundles[0]?.flatMap((each) => (each.kind === 'put-flow' ? [each.flow.table] : [])),
    );
    assert.deepEqual(
      [...tables].sort((a, b) => a - b),
      [0, 130, 131],
    );
  });

  test('nobody waits for a keeper that is closed, even while it connects', async (t) => {
    const { keeper, state } = world(t);
    keeper.servicesKnown();
    const waiting = keeper.inPlace();
    keeper.close();
    await waiting;
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(state.closed <= 1);
  });
});
