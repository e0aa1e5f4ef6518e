import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Failures } from '../../../../cni/attach/failures.ts';
import { survey } from '../../../../cni/reconcile/survey.ts';
import { useFakeNode } from '../fake-platform.ts';

suite('a survey of the node', () => {
  const node = useFakeNode();

  for (const ids of [
    { 'container-id': '../../x', ifname: 'eth0' },
    { 'container-id': 'c1', ifname: 'a/b' },
    { ifname: 'eth0' },
  ]) {
    test(`tells of a port whose marks no ADD has written, and goes on: ${JSON.stringify(ids)}`, async () => {
      const { fake } = node;
      const port = { bridge: 'br-cell', tag: undefined, trunks: [], ofportRequest: undefined };
      const externalIds = { owner: 'cellnet', ...ids };
      fake.port = { ...port, name: 'odd0', externalIds };
      const mac = '02:00:00:00:00:01';
      fake.link = { name: 'x', alias: '', mac, mtu: 1500, up: true, taken: true, carrier: true };
      const failures = new Failures();
      const own = {
        stateDir: node.dir,
        ipam: undefined,
        ovs: { ovsdb: 'unix:/db.sock', ovsdbTls: {} },
        bridge: 'br-cell',
      };
      assert.deepEqual(await survey(fake.platform(), own, failures), []);
      assert.match(failures.texts.join(), /port 'odd0' has external_ids .*: expected those of an attachment/);
    });
  }
});
