import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { switchOn } from '../../../cni/host/switch.ts';
import { findStandstill } from '../../../cni/attach/forwarding.ts';
import { OUR_COOKIE } from '../../../cni/dataplane/tables.ts';
import { readFlows } from '../../../cni/openflow/flows.ts';
import { makeNamespace, newScope, uniqueName } from '../../support/netns.ts';
import { startOvs } from '../../support/ovs.ts';
import { must } from '../../support/proc.ts';
import { OvsdbClient } from '../../../cni/ovsdb/client.ts';
import { DEADLINE, useOvs } from './world.ts';

suite('whether a real bridge forwards', () => {
  const world = useOvs();
  const look = async (): Promise<string | undefined> => {
    const ovs = switchOn(world.client, world.ovs.remote);
    const info = await ovs.inspectBridge('br-t');
    assert.ok(info);
    return (await findStandstill(ovs, 'br-t', info, world.ovs.remote))?.why;
  };
  const flow = (...args: string[]): Promise<string> => {
    const [command = '', ...rest] = args;
    const socket = world.ovs.remote.replace(/db\.sock$/, 'br-t.mgmt');
    return must('ovs-ofctl', ['-O', 'OpenFlow13', command, socket, ...rest]);
  };

  test('by itself', async () => {
    assert.deepEqual(await readFlows(world.ovs.remote, 'br-t', OUR_COOKIE), {
      count: 1,
      outputs: true,
      toController: false,
    });
    assert.equal(await look(), undefined);
  });

  test('not without flows, whatever flows cellnet has there', async () => {
    await flow('del-flows');
    assert.match((await look()) ?? '', /forwards nothing: it has no flow$/);
    await flow('add-flow', 'cookie=0xce11000000000000,ip,actions=resubmit(,130)');
    await flow('add-flow', 'cookie=0xce11000000000000,table=130,actions=NORMAL');
    assert.match((await look()) ?? '', /forwards nothing: it has no flow$/);
  });

  test('in fail mode secure only by flows that output', async () => {
    await world.ovs.vsctl('set-fail-mode', 'br-t', 'secure');
    assert.match((await look()) ?? '', /fail_mode is secure/);
    for (let n = 0; n < 3_000; n += 1_000)
      await flow('add-flow', `priority=${n},ipv6,ipv6_dst=fd00::1,actions=drop`);
    await flow('add-flow', 'priority=9,actions=CONTROLLER:65535');
    assert.deepEqual(await readFlows(world.ovs.remote, 'br-t', OUR_COOKIE), {
      count: 4,
      outputs: false,
      toController: true,
    });
    assert.match((await look()) ?? '', /none of its 4 flows outputs anything/);
    for (const actions of ['FLOOD', 'resubmit(,7)', 'set_field:7->reg0,IN_PORT', 'learn(table=1),ALL']) {
      await flow('add-flow', `priority=5,ip,actions=${actions}`);
      assert.equal(await look(), undefined, actions);
    }
  });

  test('a bridge of another OpenFlow version, one of no name, a database elsewhere: nobody can tell', async () => {
    await world.ovs.vsctl('set', 'bridge', 'br-t', 'protocols=OpenFlow10');
    assert.equal(await readFlows(world.ovs.remote, 'br-t', OUR_COOKIE), undefined);
    assert.equal(await look(), undefined);
    assert.equal(await readFlows('tcp:127.0.0.1:6640', 'br-t', OUR_COOKIE), undefined);
    assert.equal(await readFlows('unix:/proc/db.sock', 'br-t', OUR_COOKIE), undefined);
    assert.equal(await readFlows(world.ovs.remote, 'br-none', OUR_COOKIE), 'absent');
  });
});

test('a datapath that another ovs-vswitchd holds: vswitchd runs, and the bridge is named', async (t) => {
  const scope = newScope(t);
  const ns = scope.use(await makeNamespace(uniqueName('busy')));
  const start = async (name: string): Promise<Awaited<ReturnType<typeof startOvs>>> =>
    scope.use(await startOvs({ netns: ns.name, dir: `${await scope.tempDir()}/${name}` }));
  const first = await start('first');
  const netdev = ['--', 'set', 'bridge', 'br-t', 'datapath_type=netdev'];
  await first.vsctl('add-br', 'br-t', ...netdev);
  const second = await start('second');
  await second.vsctl('--no-wait', 'add-br', 'br-t', ...netdev);
  const client = await OvsdbClient.connect(second.remote, { deadlineMs: DEADLINE });
  scope.defer(() => {
    client.close();
  });
  const ovs = switchOn(client, second.remote);
  const info = await ovs.inspectBridge('br-t');
  assert.equal(info?.withoutDatapath, true);
  const found = await findStandstill(ovs, 'br-t', info, second.remote);
  assert.match(found?.why ?? '', /ovs-vswitchd runs, but could not make bridge 'br-t'/);
});
