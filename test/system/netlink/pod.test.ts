import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inNamespace } from '../../../cni/netlink/netns.ts';
import {
  announcePodInterface,
  bringUpPodInterface,
  deletePodInterface,
  preparePodInterface,
  readPodInterface,
  type PodInterface,
  type PodInterfaceOptions,
} from '../../../cni/netlink/pod.ts';
import { readSetting } from '../../../cni/netlink/sysctl.ts';
import { startCapture } from '../../support/capture.ts';
import { sleep } from '../../support/proc.ts';
import { configurePodInterface, makeConnectedPair, makePair, MAC } from './pair.ts';

const ipv4Only: PodInterfaceOptions = {
  name: 'eth0',
  addresses: [{ address: '10.20.0.17', prefixLength: 22 }],
  routes: [
    { dst: '0.0.0.0/0', gateway: '10.20.0.1' },
    { dst: '10.96.0.0/12', gateway: '10.20.0.2', mtu: 1300, advmss: 1200, priority: 7 },
  ],
  mac: MAC,
  announce: true,
  checksumOffload: false,
};

const dualStack: PodInterfaceOptions = {
  ...ipv4Only,
  addresses: [...ipv4Only.addresses, { address: 'fd00:20::11', prefixLength: 64 }],
  routes: [...ipv4Only.routes, { dst: '::/0', gateway: 'fd00:20::1' }],
};

test('addresses, routes and link state are as asked, in both families', async (t) => {
  const { pod, podNamespace } = await makeConnectedPair(t);
  assert.deepEqual(await configurePodInterface(podNamespace, dualStack), { leftOut: [] });
  const link = (await readPodInterface(podNamespace, 'eth0'))?.link;
  assert.equal(link?.mac, MAC);
  assert.equal(link.mtu, 1400);
  assert.ok(link.up && link.carrier);

  const addresses = await pod.exec('ip', '-o', 'address', 'show', 'dev', 'eth0');
  assert.match(addresses, /inet 10\.20\.0\.17\/22 brd 10\.20\.3\.255 scope global/);
  assert.match(addresses, /inet6 fd00:20::11\/64 scope global nodad/);
  const routes = await pod.exec('ip', 'route');
  assert.match(routes, /^default via 10\.20\.0\.1 dev eth0/m);
  assert.match(routes, /^10\.96\.0\.0\/12 via 10\.20\.0\.2 dev eth0 metric 7 mtu 1300 advmss 1200/m);
  assert.match(await pod.exec('ip', '-6', 'route'), /^default via fd00:20::1 dev eth0 metric 1024/m);
});

test('the addresses are announced when the other end has come up, however late', async (t) => {
  const { scope, host, podNamespace, veth } = await makeConnectedPair(t);
  await host.exec('ip', 'link', 'set', veth.hostName, 'down');
  const link = preparePodInterface(podNamespace, ipv4Only);
  assert.deepEqual(await bringUpPodInterface(podNamespace, link, ipv4Only), { leftOut: [] });
  let done = false;
  const announced = announcePodInterface(podNamespace, link, ipv4Only).then(() => (done = true));
  await sleep(200);
  assert.equal(done, false);
  await host.exec('ip', 'link', 'set', veth.hostName, 'up');
  const capture = scope.use(await startCapture(host.name, veth.hostName));
  await Promise.all([announced, announcePodInterface(podNamespace, link, ipv4Only)]);
  await capture.waitFor(/ARP.*(Announcement|who-has) 10\.20\.0\.17/);
  assert.equal((await readPodInterface(podNamespace, 'eth0'))?.link.operational, true);
});

test('an end that never comes up is waited for a second', async (t) => {
  const { host, podNamespace, veth } = await makeConnectedPair(t);
  await host.exec('ip', 'link', 'set', veth.hostName, 'down');
  const link = preparePodInterface(podNamespace, ipv4Only);
  await bringUpPodInterface(podNamespace, link, ipv4Only);
  const started = performance.now();
  await announcePodInterface(podNamespace, link, ipv4Only);
  assert.ok(performance.now() - started >= 1_000);
});

test('IPv6 is off in a pod without IPv6 address, and free of router advertisements in one with', async (t) => {
  const { podNamespace } = await makeConnectedPair(t);
  const setting = (name: Parameters<typeof readSetting>[1]): number =>
    inNamespace(podNamespace, () => readSetting('eth0', name));
  await configurePodInterface(podNamespace, { ...ipv4Only, announce: false });
  assert.equal(setting('ipv6/disable_ipv6'), 1);
  assert.equal(setting('ipv4/arp_notify'), 0);

  await configurePodInterface(podNamespace, dualStack);
  assert.equal(setting('ipv6/disable_ipv6'), 0);
  assert.equal(setting('ipv6/accept_dad'), 0);
  assert.equal(setting('ipv6/accept_ra'), 0);
  assert.equal(setting('ipv6/ndisc_notify'), 1);
  assert.equal(setting('ipv4/arp_notify'), 1);
});

test('an IPv4 pod says nothing of IPv6 on the wire, from neither end', async (t) => {
  const { scope, host, podNamespace, veth } = await makeConnectedPair(t);
  const capture = scope.use(await startCapture(host.name, veth.hostName));
  await configurePodInterface(podNamespace, ipv4Only);
  await capture.waitFor(/ARP/);
  await sleep(500);
  assert.deepEqual(
    capture.lines().filter((line) => line.includes('IPv6')),
    [],
  );
});

test('the kernel sends gratuitous ARP when the link comes up, if asked', async (t) => {
  const { scope, host, podNamespace, veth } = await makeConnectedPair(t);
  const capture = scope.use(await startCapture(host.name, veth.hostName));
  await configurePodInterface(podNamespace, ipv4Only);
  const line = await capture.waitFor(/ARP/);
  assert.match(
    line,
    new RegExp(`${MAC} > ff:ff:ff:ff:ff:ff.*(Request who-has|Reply|Announcement) 10\\.20\\.0\\.17`),
  );
});

test('the kernel announces an IPv6 address, too, and solicits no router', async (t) => {
  const { scope, host, podNamespace, veth } = await makeConnectedPair(t);
  const capture = scope.use(await startCapture(host.name, veth.hostName));
  await configurePodInterface(podNamespace, dualStack);
  await capture.waitFor(/fd00:20::11 > ff02::1: ICMP6, neighbor advertisement/);
  assert.ok(!capture.lines().some((line) => line.includes('router solicitation')));
});

test('no gratuitous ARP unless asked', async (t) => {
  const { scope, host, podNamespace, veth } = await makeConnectedPair(t);
  const capture = scope.use(await startCapture(host.name, veth.hostName));
  await configurePodInterface(podNamespace, { ...ipv4Only, announce: false });
  await sleep(300);
  assert.deepEqual(
    capture.lines().filter((line) => line.includes('ARP')),
    [],
  );
});

test('transmit checksum offload is really off when asked, else untouched', async (t) => {
  const { pod, podNamespace } = await makeConnectedPair(t);
  const feature = async (): Promise<string | undefined> =>
    /^tx-checksumming: (\w+)/m.exec(await pod.exec('ethtool', '-k', 'eth0'))?.[1];
  await configurePodInterface(podNamespace, { ...ipv4Only, checksumOffload: true });
  assert.equal(await feature(), 'on');
  assert.equal((await readPodInterface(podNamespace, 'eth0'))?.txChecksumOffload, true);
  await configurePodInterface(podNamespace, ipv4Only);
  assert.equal(await feature(), 'off');
  assert.equal((await readPodInterface(podNamespace, 'eth0'))?.txChecksumOffload, false);
});

test('configured twice is configured once', async (t) => {
  const { podNamespace } = await makeConnectedPair(t);
  /** Reads the interface once the kernel's own link-local address is no longer tentative. */
  const settled = async (): Promise<PodInterface | undefined> => {
    for (let attempt = 0; ; attempt++) {
      const found = await readPodInterface(podNamespace, 'eth0');
      if (attempt === 50 || !found?.addresses.some(({ tentative }) => tentative)) return found;
      await sleep(20);
    }
  };
  await configurePodInterface(podNamespace, dualStack);
  const first = await settled();
  await configurePodInterface(podNamespace, dualStack);
  assert.deepEqual(await settled(), first);
});

test('what was configured is read back', async (t) => {
  const { podNamespace } = await makeConnectedPair(t);
  await configurePodInterface(podNamespace, dualStack);
  const found = await readPodInterface(podNamespace, 'eth0');
  assert.ok(found);
  assert.equal(found.link.mac, MAC);
  const global = found.addresses.filter(({ scope }) => scope === 0);
  assert.deepEqual(
    global.map(({ address, prefixLength }) => ({ address, prefixLength })),
    dualStack.addresses,
  );
  const ours = found.routes.filter(({ protocol }) => protocol === 3);
  assert.deepEqual(ours.map(({ dst, gateway }) => `${dst} ${gateway ?? ''}`).sort(), [
    '0.0.0.0/0 10.20.0.1',
    '10.96.0.0/12 10.20.0.2',
    '::/0 fd00:20::1',
  ]);
  const service = ours.find(({ dst }) => dst === '10.96.0.0/12');
  assert.deepEqual([service?.mtu, service?.advmss, service?.priority], [1300, 1200, 7]);
});

test('routes on the link, onlink and in a table of their own', async (t) => {
  const { pod, podNamespace } = await makeConnectedPair(t);
  await configurePodInterface(podNamespace, {
    ...dualStack,
    routes: [
      { dst: '169.254.1.1/32' },
      { dst: '10.50.0.0/16', gateway: '10.99.0.1', onlink: true },
      { dst: '10.51.0.0/16', gateway: '10.20.0.1', table: 1000 },
      { dst: 'fd99::/64', gateway: 'fe80::1' },
    ],
  });
  const routes = await pod.exec('ip', 'route', 'show', 'table', 'all');
  assert.match(routes, /^169\.254\.1\.1 dev eth0 scope link/m);
  assert.match(routes, /^10\.50\.0\.0\/16 via 10\.99\.0\.1 dev eth0 onlink/m);
  assert.match(routes, /^10\.51\.0\.0\/16 via 10\.20\.0\.1 dev eth0 table 1000/m);
  assert.match(await pod.exec('ip', '-6', 'route'), /^fd99::\/64 via fe80::1 dev eth0/m);
});

test('a gateway outside the subnet is named', async (t) => {
  const { podNamespace } = await makeConnectedPair(t);
  const withGateway = (dst: string, gateway: string): Promise<unknown> =>
    configurePodInterface(podNamespace, { ...dualStack, routes: [{ dst, gateway }] });
  await assert.rejects(withGateway('0.0.0.0/0', '10.99.0.1'), {
    code: 'ENETUNREACH',
    kernelMessage: 'Nexthop has invalid gateway',
    message: /gateway 10\.99\.0\.1 is in no subnet of eth0 \(10\.20\.0\.17\/22, fd00:20::11\/64\)/,
  });
  await assert.rejects(withGateway('::/0', 'fd99::1'), {
    code: 'EHOSTUNREACH',
    message: /gateway fd99::1 is in no subnet of eth0/,
  });
});

test('a default route of another interface stays: the first wins', async (t) => {
  const { pod, podNamespace } = await makeConnectedPair(t);
  await pod.exec('ip', 'link', 'add', 'other', 'up', 'type', 'veth');
  await pod.exec('ip', 'route', 'add', 'default', 'dev', 'other');
  await configurePodInterface(podNamespace, ipv4Only);
  assert.match(await pod.exec('ip', 'route'), /^default dev other/m);
});

test('another route of the same interface to the same destination is EEXIST', async (t) => {
  const { podNamespace } = await makeConnectedPair(t);
  await configurePodInterface(podNamespace, ipv4Only);
  const routes = [{ dst: '0.0.0.0/0', gateway: '10.20.0.99' }];
  await assert.rejects(configurePodInterface(podNamespace, { ...ipv4Only, routes }), {
    code: 'EEXIST',
    message: /another route to 0\.0\.0\.0\/0/,
  });
});

test('a pod without the interface: ENODEV, nothing to read, nothing to delete', async (t) => {
  const { podNamespace } = await makePair(t);
  await assert.rejects(configurePodInterface(podNamespace, ipv4Only), {
    name: 'NetlinkError',
    code: 'ENODEV',
  });
  assert.equal(await readPodInterface(podNamespace, 'eth0'), undefined);
  assert.equal(await deletePodInterface(podNamespace, 'eth0'), 'absent');
  assert.equal(await readPodInterface(podNamespace, '../../kernel'), undefined);
});

test('deleting the pod’s interface deletes both ends', async (t) => {
  const { host, podNamespace, veth } = await makeConnectedPair(t);
  assert.equal(await deletePodInterface(podNamespace, 'eth0'), 'deleted');
  assert.equal(await deletePodInterface(podNamespace, 'eth0'), 'absent');
  assert.equal((await host.run('ip', ['link', 'show', veth.hostName])).code, 1);
});
