import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { NetlinkError } from '../../../../cni/netlink/errors.ts';
import { explainRouteError, isServedBy } from '../../../../cni/netlink/route-judgement.ts';

const eth0 = { index: 7, name: 'eth0' };
const addresses = [
  { address: '10.20.0.17', prefixLength: 22 },
  { address: 'fd00:20::11', prefixLength: 64 },
];
const { ENETUNREACH, EEXIST, ENETDOWN } = constants.errno;
const refused = (errno: number): NetlinkError =>
  new NetlinkError(errno, 'add route', { kernelMessage: "the kernel's words" });

test('a gateway in no subnet of the interface is named, the code and the kernel’s words kept', () => {
  const route = { dst: '0.0.0.0/0', gateway: '10.99.0.1' };
  const error = explainRouteError(refused(ENETUNREACH), route, eth0, addresses);
  assert.match(
    error.message,
    /gateway 10\.99\.0\.1 is in no subnet of eth0 \(10\.20\.0\.17\/22, fd00:20::11\/64\)/,
  );
  assert.equal(error.code, 'ENETUNREACH');
  assert.equal(error.kernelMessage, "the kernel's words");
});

test('other refusals are left as they are', () => {
  const within = { dst: '0.0.0.0/0', gateway: '10.20.0.1' };
  const outside = { dst: '0.0.0.0/0', gateway: '10.99.0.1' };
  for (const [errno, route] of [
    [ENETUNREACH, within],
    [ENETUNREACH, { dst: '10.0.0.0/8' }],
    [ENETUNREACH, { ...outside, onlink: true }],
    [ENETDOWN, outside],
  ] as const) {
    const error = refused(errno);
    assert.equal(explainRouteError(error, route, eth0, addresses), error);
  }
});

test('EEXIST names the destination that is taken', () => {
  assert.match(
    explainRouteError(refused(EEXIST), { dst: '0.0.0.0/0' }, eth0, addresses).message,
    /another route to 0\.0\.0\.0\/0/,
  );
});

test('a route is the same when destination, gateway, link, table and priority are', () => {
  const wanted = { dst: '0.0.0.0/0', gateway: '10.20.0.1' };
  const installed = {
    family: 4 as const,
    dst: '0.0.0.0/0',
    gateway: '10.20.0.1',
    linkIndex: 7,
    table: 254,
    priority: 0,
    scope: 0,
    protocol: 3,
  };
  assert.equal(isServedBy(eth0, wanted, installed), true);
  // Another interface already leads there. The first route wins, whatever its gateway.
  assert.equal(isServedBy(eth0, wanted, { ...installed, linkIndex: 8 }), true);
  assert.equal(isServedBy(eth0, wanted, { ...installed, linkIndex: 8, gateway: '10.30.0.1' }), true);
  assert.equal(isServedBy(eth0, wanted, { ...installed, linkIndex: 8, dst: '10.0.0.0/8' }), false);
  assert.equal(isServedBy(eth0, wanted, { ...installed, gateway: '10.20.0.2' }), false);
  assert.equal(isServedBy(eth0, wanted, { ...installed, table: 100 }), false);
  assert.equal(isServedBy(eth0, { ...wanted, priority: 5 }, installed), false);
});

test('IPv6 is compared in canonical form, and has the priority 1024 when none is asked for', () => {
  const installed = {
    family: 6 as const,
    dst: '::/0',
    gateway: 'fd00:20::1',
    linkIndex: 7,
    table: 254,
    priority: 1024,
    scope: 0,
    protocol: 3,
  };
  assert.equal(isServedBy(eth0, { dst: '0::0/0', gateway: 'FD00:20:0::1' }, installed), true);
});
