import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { watchPorts, type PortsByBridge, type WatchedPort } from '../../../cni/ovsdb/port-watch.ts';
import { idsOf, useOvs } from './world.ts';

const WITHIN_MS = 5_000;

suite('our ports, as the database tells them', () => {
  const world = useOvs();
  let ports: () => PortsByBridge;
  let changes = 0;
  before(async () => {
    ports = await watchPorts(world.client, () => changes++);
  });
  const port = (name: string): WatchedPort | undefined =>
    ports()
      .get('br-t')
      ?.find((each) => each.name === name);
  const until = async (isSo: () => boolean): Promise<void> => {
    const end = performance.now() + WITHIN_MS;
    while (!isSo()) {
      assert.ok(performance.now() < end, JSON.stringify([...ports()]));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const vsctl = (...args: string[]): Promise<string> => world.ovs.vsctl(...args);

  test('begin with what there is, and follow what comes and goes', async () => {
    assert.ok(changes > 0, 'told of the first report');
    const first = await world.add('v0', { tag: 120 });
    const second = await world.add('v1');
    await until(() => port('v0')?.ofport === first && port('v1')?.ofport === second);
    assert.deepEqual([port('v0')?.tag, port('v1')?.tag], [120, undefined]);
    assert.deepEqual(port('v0')?.externalIds, idsOf('v0'));
    await vsctl('del-port', 'br-t', 'v0');
    await until(() => port('v0') === undefined);
    assert.equal(port('v1')?.ofport, second);
  });

  test('one that does not change is the same object, one that changes is another', async () => {
    await world.add('v2', { tag: 5 });
    await until(() => port('v2') !== undefined && port('v1') !== undefined);
    const [other, before] = [port('v1'), port('v2')];
    await vsctl('set', 'port', 'v2', 'tag=6');
    await until(() => port('v2')?.tag === 6);
    assert.notEqual(port('v2'), before);
    assert.equal(port('v1'), other);
  });

  test('members of sets and maps come, change and go', async () => {
    await vsctl('set', 'port', 'v2', 'trunks=10,11', 'external_ids:more=1');
    await until(() => port('v2')?.trunks.length === 2 && port('v2')?.externalIds['more'] === '1');
    await vsctl('remove', 'port', 'v2', 'trunks', '10');
    await vsctl('set', 'port', 'v2', 'external_ids:more=2');
    await until(() => port('v2')?.trunks.join() === '11' && port('v2')?.externalIds['more'] === '2');
    await vsctl('remove', 'port', 'v2', 'external_ids', 'more');
    await vsctl('clear', 'port', 'v2', 'tag');
    await until(() => port('v2')?.externalIds['more'] === undefined && port('v2')?.tag === undefined);
    assert.deepEqual(port('v2')?.externalIds, idsOf('v2'));
  });

  test('ports of others are not ours, and one that loses our mark is none any more', async () => {
    await vsctl('add-port', 'br-t', 'v3');
    await vsctl('remove', 'port', 'v2', 'external_ids', 'owner');
    await until(() => port('v2') === undefined);
    assert.equal(port('v3'), undefined);
  });

  test('a bridge that is made has its entry, and moves nothing', async () => {
    await vsctl('add-br', 'br-u', '--', 'set', 'bridge', 'br-u', 'datapath_type=netdev');
    await until(() => ports().has('br-u'));
    assert.deepEqual(ports().get('br-u'), []);
    await vsctl('del-br', 'br-u');
    await until(() => !ports().has('br-u'));
  });
});
