import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isAsRecorded, portOfRecord, recordedPort } from '../../../cni/attach/recorded-port.ts';
import { attachmentRecord, type AttachmentRecord } from '../../../cni/platform/node-records.ts';
import { hostLinkName } from '../../../cni/protocol/identity.ts';
import { decodeValue } from '../../../ipam/records/decode.ts';
import { range } from '../ipam/world.ts';

const BLUE = range('10.20.0.0/22', { name: 'blue', vlan: 120 });
const MARKS = { owner: 'cellnet', 'container-id': 'c1', ifname: 'eth0', ip: '10.20.0.17' };
const EARLIER: AttachmentRecord = {
  v: 1,
  network: 'cell',
  containerId: 'c1',
  ifname: 'eth0',
  ipamType: 'cellnet-ipam',
  etcd: {},
  node: 'n1',
  bridge: 'br-cell',
  ovsdb: 'unix:/db.sock',
  mtu: 1500,
  createdAt: 0,
  allocations: [{ address: '10.20.0.17/22', range: 'blue', allocatedAt: 0 }],
  podNamespace: 'shop',
  podName: 'web-1',
};
const SPEC = {
  bridge: 'br-cell',
  name: hostLinkName(EARLIER),
  tag: 12,
  trunks: [30, 20],
  ofportRequest: 7,
  externalIds: MARKS,
};
const FOUND = { ...SPEC, trunks: [20, 30], ofport: 3, error: undefined };

suite('the port in a record', () => {
  test('is the port of the ADD again, also after it was written and read', () => {
    for (const spec of [SPEC, { ...SPEC, tag: undefined, trunks: [], ofportRequest: undefined }]) {
      const text = JSON.stringify({ ...EARLIER, port: recordedPort(spec), later: true });
      const read = decodeValue(attachmentRecord, JSON.parse(text));
      assert.ok(read.ok);
      assert.deepEqual(portOfRecord(read.value, undefined, [BLUE]), spec);
    }
  });

  test('is compared by VLANs and marks; marks of others do not count', () => {
    const port = recordedPort(SPEC);
    assert.ok(isAsRecorded({ ...FOUND, externalIds: { ...MARKS, theirs: 'x' } }, port));
    for (const changes of [
      { tag: 13 },
      { tag: undefined },
      { trunks: [20] },
      { externalIds: { owner: 'cellnet' } },
    ])
      assert.ok(!isAsRecorded({ ...FOUND, ...changes }, port), JSON.stringify(changes));
  });

  test('of an earlier version: the port as it is, else the VLAN of the range', () => {
    const byPort = portOfRecord(EARLIER, FOUND, [BLUE]);
    assert.deepEqual(byPort, { ...SPEC, trunks: [20, 30], ofportRequest: undefined });
    const byRange = portOfRecord(EARLIER, undefined, [BLUE]);
    const marks = { ...MARKS, network: 'cell', 'pod-namespace': 'shop', 'pod-name': 'web-1' };
    assert.deepEqual(byRange, {
      ...SPEC,
      tag: 120,
      trunks: [],
      ofportRequest: undefined,
      externalIds: marks,
    });
  });

  test('of an earlier version is not guessed: without a VLAN the port would be a trunk of all', () => {
    assert.equal(portOfRecord(EARLIER, undefined, []), undefined);
    assert.equal(portOfRecord({ ...EARLIER, ipamType: 'host-local' }, undefined, [BLUE]), undefined);
  });
});
