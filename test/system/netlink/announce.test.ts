import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { announce } from '../../../cni/netlink/announce.ts';
import { gratuitousArpFrame, unsolicitedNeighborAdvertisement } from '../../../cni/netlink/frames.ts';
import { deletePodInterface } from '../../../cni/netlink/pod.ts';
import { startCapture } from '../../support/capture.ts';
import { until } from '../../support/proc.ts';
import { configurePodInterface, makeConnectedPair, MAC, type Pair } from './pair.ts';

const ARP = gratuitousArpFrame(MAC, '10.20.0.17');
const ADVERTISEMENT = unsolicitedNeighborAdvertisement(MAC, 'fd00:20::11');

const makeSilentPod = async (t: Parameters<typeof makeConnectedPair>[0]): Promise<Pair> => {
  const pair = await makeConnectedPair(t);
  await configurePodInterface(pair.podNamespace, {
    name: 'eth0',
    addresses: [
      { address: '10.20.0.17', prefixLength: 22 },
      { address: 'fd00:20::11', prefixLength: 64 },
    ],
    routes: [],
    mac: MAC,
    announce: false,
    checksumOffload: false,
  });
  return pair;
};

const openSockets = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // The descriptor of the listing itself is closed already.
    }
  }).length;

test('each frame is heard as often as asked, at the interval, and is well-formed', async (t) => {
  const { scope, host, podNamespace, veth } = await makeSilentPod(t);
  const capture = scope.use(await startCapture(host.name, veth.hostName));
  await announce(podNamespace, 'eth0', [ARP, ADVERTISEMENT], { count: 3, intervalMs: 50 });
  const arp = /ARP.*Request who-has 10\.20\.0\.17 tell 10\.20\.0\.17|ARP.*Announcement 10\.20\.0\.17/;
  const advertisement = /fd00:20::11 > ff02::1: ICMP6, neighbor advertisement, tgt is fd00:20::11/;
  const heard = (pattern: RegExp): string[] => capture.lines().filter((line) => pattern.test(line));
  await until('three of each', () => heard(arp).length >= 3 && heard(advertisement).length >= 3);
  assert.equal(heard(arp).length, 3);
  assert.equal(heard(advertisement).length, 3);
  assert.ok(heard(arp).every((line) => line.includes(`${MAC} > ff:ff:ff:ff:ff:ff`)));
  assert.ok(
    capture.lines().every((line) => !line.includes('bad')),
    'tcpdump finds no wrong checksum',
  );
  const [first, second] = heard(arp).map((line) => Number(line.split(' ')[0]));
  assert.ok(first !== undefined && second !== undefined && second - first >= 0.045);
});

test('neighbours learn the address from it', async (t) => {
  const { host, podNamespace, veth } = await makeSilentPod(t);
  const link = ['dev', veth.hostName];
  await host.exec(
    'ip',
    'neighbour',
    'add',
    '10.20.0.17',
    'lladdr',
    '02:00:00:00:00:01',
    ...link,
    'nud',
    'stale',
  );
  await host.exec('ip', 'address', 'add', '10.20.0.1/22', ...link);
  await announce(podNamespace, 'eth0', [ARP], { count: 1, intervalMs: 0 });
  await until('the neighbour entry has the new MAC', async () =>
    (await host.exec('ip', 'neighbour', 'show', ...link)).includes(MAC),
  );
});

test('it ends without an error when the pod’s interface is down, gone, or goes meanwhile', async (t) => {
  const { pod, podNamespace } = await makeSilentPod(t);
  const before = openSockets();
  const long = announce(podNamespace, 'eth0', [ARP], { count: 1_000, intervalMs: 10 });
  await until('it announces', () => openSockets() > before);
  await pod.exec('ip', 'link', 'set', 'eth0', 'down');
  await long;
  await announce(podNamespace, 'eth0', [ARP], { count: 3, intervalMs: 10 });
  await deletePodInterface(podNamespace, 'eth0');
  await announce(podNamespace, 'eth0', [ARP], { count: 3, intervalMs: 10 });
  await until('every socket is closed', () => openSockets() <= before);
});

test('many pods announce at once', async (t) => {
  const { podNamespace } = await makeSilentPod(t);
  const before = openSockets();
  const once = { count: 1, intervalMs: 0 };
  await Promise.all(Array.from({ length: 300 }, () => announce(podNamespace, 'eth0', [ARP], once)));
  await until('every socket is closed', () => openSockets() <= before, 10_000);
});

test('a frame that the kernel refuses is an error', async (t) => {
  const { podNamespace } = await makeSilentPod(t);
  await assert.rejects(announce(podNamespace, 'eth0', [Buffer.alloc(3)], { count: 1, intervalMs: 0 }), {
    name: 'NetlinkError',
    code: 'EINVAL',
    operation: 'announce on eth0',
  });
});
