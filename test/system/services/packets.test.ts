import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { endpoint } from '../../support/kube-api.ts';
import { associate, serveSctp } from '../../support/sctp.ts';
import { addUsualPods, makeServicesWorld, type ServicePod, type ServicesWorld } from './world.ts';

const dns = (port: number): object[] => [{ name: 'dns', protocol: 'UDP', port }];
/** A port of the pods where nobody listens. */
const CLOSED = 54;
const SMALL_MTU = 1_400;

suite('packets that are not the usual ones', () => {
  let world: ServicesWorld;
  let client: ServicePod;
  let near: ServicePod;
  let far: ServicePod;
  let other: ServicePod;
  before(async () => {
    world = await makeServicesWorld({ ipv6: true });
    ({ client, near, far, other } = await addUsualPods(world));
    for (const pod of [near, far, other, client]) await pod.process.serve('udp', '::', 53, pod.name);
  });
  after(() => world.stop());

  const serve = (pod: ServicePod, port = 53): Promise<void> =>
    world.serve({
      ...{ name: 'dns', ip: '10.96.0.53,fd00:96::53', ports: dns(53), endpointPorts: dns(port) },
      endpoints: [endpoint(pod.ip), endpoint(pod.ip6)],
    });

  for (const [where, pod] of [
    ['on the same node', () => near],
    ['on another node', () => far],
    ['on another VLAN', () => other],
    ['that is the client itself', () => client],
  ] as const) {
    test(`UDP of 4,000 bytes, in fragments there and back, to an endpoint ${where}`, async () => {
      await serve(pod());
      // Open vSwitch's userspace datapath needs a first packet that is whole, and IPv4.
      assert.equal((await client.process.datagram(where, '10.96.0.53', 53)).name, pod().name);
      const answer = await client.process.datagram(where, '10.96.0.53', 53, 4_000);
      assert.deepEqual([answer.name, answer.bytes, answer.received], [pod().name, 4_000, 4_000]);
    });
  }

  for (const [where, pod, n] of [
    ['on the same node', () => near, 61],
    ['on another node', () => far, 62],
    ['on another VLAN', () => other, 63],
  ] as const) {
    test(`SCTP: an association with an endpoint ${where}, whose port is the Service's`, async () => {
      const port = { name: 'ngap', protocol: 'SCTP', port: 38_412 };
      await world.serve({
        ...{ name: 'amf', ip: `10.96.0.${n},fd00:96::${n}`, ports: [port], endpointPorts: [port] },
        endpoints: [endpoint(pod().ip), endpoint(pod().ip6)],
      });
      for (const [address, server, seen] of [
        [`10.96.0.${n}`, pod().ip, client.ip],
        [`fd00:96::${n}`, pod().ip6, client.ip6],
      ] as const) {
        const daemon = await serveSctp(pod().ns, server);
        try {
          assert.equal(await associate(client.ns, address, port.port), `${address} ${port.port} 40000`);
          assert.deepEqual(daemon.output().split('\n').slice(1, 2), [seen]);
        } finally {
          await daemon.stop();
        }
      }
    });
  }

  for (const [where, pod] of [
    ['on the same node', () => near],
    ['on another node', () => far],
    ['on another VLAN', () => other],
  ] as const) {
    test(`a port that an endpoint ${where} does not have: UDP is refused at once`, async () => {
      await serve(pod(), CLOSED);
      for (const address of ['10.96.0.53', 'fd00:96::53']) {
        const answer = await client.process.ask('udp', address, 53);
        assert.equal(answer.error, 'ECONNREFUSED', `${address}: ${JSON.stringify(answer)}`);
      }
    });
  }

  test("a router's smaller MTU reaches the pod as that of the Service's address", async () => {
    await serve(other);
    await world.fabric.ns.exec('ip', 'link', 'set', 'gw130', 'mtu', `${SMALL_MTU}`);
    for (const address of ['10.96.0.53', 'fd00:96::53']) {
      await client.process.datagram(`mtu ${address}`, address, 53);
      // The router drops this packet and tells why, about a packet to the Service.
      const answer = await client.process.datagram(`mtu ${address}`, address, 53, SMALL_MTU - 20);
      assert.equal(answer.error, 'EMSGSIZE', `${address}: ${JSON.stringify(answer)}`);
    }
  });
});
