import assert from 'node:assert/strict';
import { test } from 'node:test';
import { probeAddresses } from '../../../cni/netlink/probe.ts';
import { startCapture } from '../../support/capture.ts';
import { configurePodInterface, makeConnectedPair, MAC, type Pair } from './pair.ts';

const OPTIONS = { count: 3, intervalMs: 60 };
const STRANGER = '02:00:00:00:00:99';

/** Returns a pair with a neighbour at the host end: it has the addresses and this MAC. */
const withNeighbour = async (t: Parameters<typeof makeConnectedPair>[0], mac: string): Promise<Pair> => {
  const pair = await makeConnectedPair(t);
  const { host, veth } = pair;
  await host.exec('ip', 'link', 'set', veth.hostName, 'address', mac);
  await host.exec('sysctl', '-qw', `net.ipv6.conf.${veth.hostName}.disable_ipv6=0`);
  await host.exec('ip', 'address', 'add', '10.20.0.17/22', 'dev', veth.hostName);
  await host.exec('ip', 'address', 'add', 'fd00:20::11/64', 'dev', veth.hostName, 'nodad');
  return pair;
};

for (const [what, mac] of [
  ['a stranger', STRANGER],
  ['a forgotten pod with the very MAC that ours would have', MAC],
] as const) {
  test(`${what} that uses the address is heard, in either family`, async (t) => {
    const { podNamespace } = await withNeighbour(t, mac);
    for (const address of ['10.20.0.17', 'fd00:20::11']) {
      assert.deepEqual(await probeAddresses(podNamespace, 'eth0', ['10.20.0.99', address], OPTIONS), {
        address,
        mac,
      });
    }
  });
}

test('nobody answers: the probes are as the RFCs say, the link is down again, and works', async (t) => {
  const { scope, host, pod, podNamespace, veth } = await withNeighbour(t, STRANGER);
  const capture = scope.use(await startCapture(host.name, veth.hostName));
  const started = performance.now();
  assert.equal(await probeAddresses(podNamespace, 'eth0', ['10.20.0.18', 'fd00:20::12'], OPTIONS), undefined);
  assert.ok(performance.now() - started >= 3 * 60);
  await capture.waitFor(/0a:5a:.* > ff:ff:ff:ff:ff:ff.*ARP.*(Probe|who-has) 10\.20\.0\.18/);
  await capture.waitFor(/0a:5a:.* > 33:33:ff:00:00:12.*:: > ff02::1:ff00:12: ICMP6, neighbor solicitation/);
  assert.ok(
    capture.lines().every((line) => !line.includes('bad')),
    capture.lines().join('\n'),
  );
  assert.match(await pod.exec('ip', 'link', 'show', 'eth0'), /state DOWN/);
  await configurePodInterface(podNamespace, {
    name: 'eth0',
    addresses: [{ address: '10.20.0.18', prefixLength: 22 }],
    routes: [],
    mac: MAC,
    announce: true,
    checksumOffload: false,
  });
  await capture.waitFor(/ARP.*(Announcement|who-has) 10\.20\.0\.18/);
  await pod.pings('10.20.0.17');
});
