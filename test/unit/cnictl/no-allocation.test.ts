import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostLinkName, linkAlias, portExternalIds } from '../../../cni/protocol/identity.ts';
import { CliWorld, container } from '../../golden/world.ts';
import { FakePlatform } from '../cni/fake-platform.ts';

test('node reconcile tells the address that a pod uses although etcd has none for it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cellnet-no-allocation-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const world = await CliWorld.make();
  world.env['CELLNET_STATE_DIR'] = folder;
  const attachment = { containerId: container(9), ifname: 'eth0' };
  const parts = new FakePlatform(folder).platform();
  const name = hostLinkName(attachment);
  const link = {
    name,
    alias: linkAlias(attachment),
    mac: '',
    mtu: 1500,
    up: true,
    taken: true,
    carrier: true,
  };
  const externalIds = portExternalIds({ ...attachment, network: 'cell' }, {}, ['10.20.0.99', 'fd00:20::99']);
  const port = { name, bridge: 'br-cell', tag: 120, trunks: [], externalIds, ofport: 1, error: undefined };
  world.platform = () => ({
    ...parts,
    openKernel: async () => ({ ...(await parts.openKernel()), hostLinks: () => Promise.resolve([link]) }),
    openSwitch: async (...at) => ({
      ...(await parts.openSwitch(...at)),
      findPorts: () => Promise.resolve([port]),
    }),
  });
  parts.openState(folder).saveAttachment({
    ...{
      v: 1,
      network: 'cell',
      ...attachment,
      etcd: {},
      node: 'node-1',
      bridge: 'br-cell',
      ovsdb: 'unix:/ovs',
    },
    ...{ mtu: 1500, createdAt: 0, bootId: parts.bootId, netns: { path: '/run/netns/9', id: '4:9' } },
  });
  const table = await world.run('node reconcile --grace 0');
  assert.match(table.stdout, /10\.20\.0\.99,fd00:20::99 \(by its port\) +no-allocation/);
  const { stdout } = await world.run('node reconcile --grace 0 -o json');
  const { findings } = JSON.parse(stdout) as {
    findings: { reason: string; ips: string[]; portIps: string[] }[];
  };
  const found = findings.find(({ reason }) => reason === 'no-allocation');
  assert.deepEqual([found?.ips, found?.portIps], [[], ['10.20.0.99', 'fd00:20::99']]);
});
