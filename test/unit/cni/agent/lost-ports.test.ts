import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { LostPorts } from '../../../../cni/agent/lost-ports.ts';
import { hostEffects } from '../../../../cni/host/effects.ts';
import type { HostLink } from '../../../../cni/platform/platform.ts';
import { hostLinkName, linkAlias } from '../../../../cni/protocol/identity.ts';

const ofPod = (n: number): { containerId: string; ifname: string } => ({
  containerId: `c${n}`,
  ifname: 'eth0',
});

/** Fakes a host with the links of some pods. It counts the looks at them, and the repairs. */
function host(t: TestContext): {
  readonly lost: LostPorts;
  readonly living: Set<number>;
  readonly counts: { looks: number; repairs: number; away: boolean };
  readonly pass: (ms: number) => Promise<void>;
} {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = { ms: 0 };
  const living = new Set<number>();
  const counts = { looks: 0, repairs: 0, away: false };
  const links = (): Promise<HostLink[]> => {
    counts.looks++;
    if (counts.away) return Promise.reject(new Error('no netlink'));
    const rest = { mac: '', mtu: 1500, up: true, taken: true, carrier: true };
    return Promise.resolve(
      [...living].map((n) => ({ name: hostLinkName(ofPod(n)), alias: linkAlias(ofPod(n)), ...rest })),
    );
  };
  const repair = (): void => {
    counts.repairs++;
  };
  const lost = new LostPorts(links, repair, { ...hostEffects, monotonic: () => clock.ms });
  const pass = async (ms: number): Promise<void> => {
    clock.ms += ms;
    t.mock.timers.tick(ms);
    for (let n = 0; n < 5; n++) await Promise.resolve();
  };
  return { lost, living, counts, pass };
}

suite('what Open vSwitch tells of ports that others removed', () => {
  test('a port whose link lives is repaired a second later', async (t) => {
    const { lost, living, counts, pass } = host(t);
    living.add(1);
    lost.portChanged(ofPod(1));
    await pass(999);
    assert.equal(counts.repairs, 0);
    await pass(1);
    assert.equal(counts.repairs, 1);
  });

  test('ports of DELs are one look, and no repair', async (t) => {
    const { lost, living, counts, pass } = host(t);
    living.add(1_000);
    for (let n = 0; n < 250; n++) lost.portChanged(ofPod(n));
    await pass(1_000);
    assert.deepEqual([counts.looks, counts.repairs], [1, 0]);
  });

  test('a port that its ADD has made once more needs no look', async (t) => {
    const { lost, living, counts, pass } = host(t);
    living.add(1);
    lost.portChanged(ofPod(1));
    lost.portMade(ofPod(1));
    await pass(1_000);
    assert.deepEqual([counts.looks, counts.repairs], [0, 0]);
  });

  test('where the links cannot be read, and after a change that may concern any port, it is repaired', async (t) => {
    const { lost, counts, pass } = host(t);
    counts.away = true;
    lost.portChanged(ofPod(1));
    await pass(1_000);
    assert.equal(counts.repairs, 1);
    lost.anyPortChanged();
    await pass(10_000);
    assert.equal(counts.repairs, 2);
  });

  test('a program that removes each port again causes a repair every ten seconds', async (t) => {
    const { lost, living, counts, pass } = host(t);
    living.add(1);
    for (let n = 0; n < 600; n++) {
      lost.portChanged(ofPod(1));
      await pass(100);
    }
    assert.equal(counts.repairs, 6);
  });
});
