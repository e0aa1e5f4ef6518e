import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { OvsdbError } from '../../../cni/ovsdb/errors.ts';
import type { Platform } from '../../../cni/platform/platform.ts';
import { CniError } from '../../../cni/protocol/errors.ts';
import type { Output, Plugin } from '../../../cni/protocol/invocation.ts';
import { dispatch } from '../../../cni/verbs/dispatch.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { CONFIG, ENV, reply, useFakeNode } from './fake-platform.ts';

suite('DEL', () => {
  const node = useFakeNode();

  test('in order: port, link, address, record; without a namespace', async () => {
    await node.call();
    node.fake.calls.length = 0;
    node.fake.world.store.before = (request) => {
      if (request === 'commit') node.fake.calls.push('release');
      return Promise.resolve();
    };
    const output = await node.call({ CNI_COMMAND: 'DEL', CNI_NETNS: undefined });
    assert.deepEqual(output, { stdout: '', exitCode: 0 });
    assert.deepEqual(node.work(), ['remove-port', 'delete-link', 'release']);
    assert.equal(node.fake.world.given().size, 0);
    assert.deepEqual(node.files(), []);
  });

  test('a port that could not be removed keeps its address back until it is', async () => {
    await node.call();
    node.fake.failures.set('switch', new OvsdbError('unreachable', 'away'));
    assert.equal((await node.call({ CNI_COMMAND: 'DEL' })).exitCode, 0);
    assert.equal(node.fake.world.given().size, 1);
    assert.deepEqual(node.files(), ['pending/c1,eth0.json']);
    node.fake.failures.clear();
    await node.call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c2' });
    assert.equal(node.fake.world.given().size, 0);
    assert.deepEqual(node.files(), []);
  });

  test('a link that cannot be deleted is an error: not found only counts as gone', async () => {
    await node.call();
    node.fake.failures.set('delete-link', new Error('device busy'));
    assert.equal((await node.call({ CNI_COMMAND: 'DEL' })).exitCode, 1);
    assert.equal(node.fake.world.given().size, 1);
  });
});

suite('teardowns that were put off', () => {
  const node = useFakeNode();

  const away = new OvsdbError('unreachable', 'away');
  const putOff = async (id: string, config: object = {}): Promise<void> => {
    node.fake.failures.set('switch', away);
    assert.equal((await node.call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: id }, config)).exitCode, 0);
    node.fake.failures.clear();
  };

  test('one that fails keeps none back that needs other servers', async () => {
    await node.call({ CNI_CONTAINERID: 'a' }, { ovsdb: 'unix:/gone.sock' });
    await node.call({ CNI_CONTAINERID: 'b' });
    await putOff('a', { ovsdb: 'unix:/gone.sock' });
    await putOff('b');
    node.fake.unreachable.add('unix:/gone.sock');
    await node.call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c' });
    assert.deepEqual(node.files(), ['pending/a,eth0.json']);
    assert.deepEqual([...node.fake.world.given().values()], ['a']);
  });

  test('a clock that was set back since the ADD loses no release', async () => {
    await node.call();
    node.fake.world.now -= 10_000;
    await putOff('c1');
    await node.call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c2' });
    assert.equal(node.fake.world.given().size, 0);
    assert.deepEqual(node.files(), []);
  });

  test('what cannot be undone is torn down later, and its address is not free before', async () => {
    node.fake.failures.set('configure', new Error('no'));
    node.fake.failures.set('remove-port', away);
    assert.equal((await node.call()).exitCode, 1);
    assert.equal(node.fake.world.given().size, 1);
    assert.ok(node.files().includes('pending/c1,eth0.json'));
    node.fake.failures.clear();
    await node.call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c2' });
    assert.equal(node.fake.world.given().size, 0);
  });

  test('cellnet-ipam keeps its record while the release is neither done nor put off', async () => {
    await node.call({}, {}, 'cellnet-ipam');
    node.fake.failures.set('ipam', new IpamError('store-unreachable', 'away'));
    writeFileSync(join(node.dir, 'pending'), 'in the way');
    assert.equal(reply(await node.call({ CNI_COMMAND: 'DEL' }, {}, 'cellnet-ipam')).code, 5);
    assert.deepEqual(node.files(), ['attachments/c1,eth0.json']);
  });
});

suite('a DEL that a hung agent did not answer', () => {
  const node = useFakeNode();
  const waits: (number | undefined)[] = [];
  /** Calls DEL while the agent holds the attachment, or not. */
  const del = (isHeld: boolean, more: object = {}, plugin: Plugin = 'cellnet'): Promise<Output> => {
    const held = new CniError('try-again-later', 'another call has been under way for 2 s');
    const lock: Platform['lock'] = (_, __, patienceMs) => {
      waits.push(patienceMs);
      return isHeld ? Promise.reject(held) : Promise.resolve(() => undefined);
    };
    const input = {
      env: { ...ENV, CNI_COMMAND: 'DEL' },
      stdin: JSON.stringify({ ...CONFIG, ...more }),
      sharedConfig: undefined,
      agentHangs: true,
    };
    return dispatch(plugin, input, () => Promise.resolve({ ...node.fake.platform(), lock }));
  };
  const later = (): Promise<Output> => node.call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'other' });

  test('is carried out when its attachment is free', async () => {
    await node.call();
    assert.equal((await del(false)).exitCode, 0);
    assert.equal(node.fake.world.given().size, 0);
    assert.deepEqual(node.files(), []);
  });

  for (const plugin of ['cellnet', 'cellnet-ipam'] as const)
    test(`${plugin}: else it waits 2 s, touches nothing, and is finished later`, async () => {
      await node.call({}, {}, plugin);
      node.fake.calls.length = 0;
      waits.length = 0;
      assert.deepEqual(await del(true, {}, plugin), { stdout: '', exitCode: 0 });
      assert.deepEqual(waits, [2_000]);
      assert.deepEqual(node.work(), []);
      assert.equal(node.fake.world.given().size, 1);
      assert.deepEqual(node.files().sort(), ['attachments/c1,eth0.json', 'pending/c1,eth0.json']);
      await later();
      assert.equal(node.fake.world.given().size, 0);
      assert.deepEqual(node.files(), []);
      assert.deepEqual(readdirSync(join(node.dir, 'addresses')), []);
      assert.equal(node.work().includes('delete-link'), true);
    });

  test('an ADD of the attachment finishes it first, and keeps what it makes itself', async () => {
    await node.call();
    await del(true);
    node.fake.world.now += 1_000;
    assert.equal((await node.call()).exitCode, 0);
    assert.equal(node.fake.world.given().size, 1);
    await later();
    assert.equal(node.fake.world.given().size, 1);
    assert.ok(node.files().includes('attachments/c1,eth0.json'));
  });

  test('with another IPAM plugin it fails: only a DEL reaches that plugin', async () => {
    const ipam = { type: 'host-local' };
    await node.call({}, { ipam });
    assert.equal(reply(await del(true, { ipam })).code, 11);
    assert.deepEqual(node.files(), ['attachments/c1,eth0.json']);
    assert.equal((await del(false, { ipam })).exitCode, 0);
    assert.ok(node.fake.calls.includes('delegate host-local DEL'));
  });

  test('a healthy wait for a turn is as long as before', async () => {
    const env = { ...ENV, CNI_COMMAND: 'DEL' };
    const platform = {
      ...node.fake.platform(),
      lock: () => Promise.reject(new CniError('try-again-later', 'another call')),
    };
    const input = { env, stdin: JSON.stringify(CONFIG), sharedConfig: undefined };
    assert.equal(reply(await dispatch('cellnet', input, () => Promise.resolve(platform))).code, 11);
  });
});

suite('a configuration that is wrong by the time of DEL', () => {
  const node = useFakeNode();

  const wrong: [what: string, changes: object][] = [
    ['an unknown key', { bridg: 'x' }],
    ['a value', { mtu: 10, trunk: 'all' }],
    ['a key of ipam', { ipam: { type: 'cellnet-ipam', etdc: {}, ranges: 5 } }],
    ['prevResult', { prevResult: { ips: 'none' } }],
  ];
  for (const [what, changes] of wrong) {
    for (const plugin of ['cellnet', 'cellnet-ipam'] as const) {
      test(`in ${what}: ${plugin} ends the pod all the same, and an ADD with it is refused`, async () => {
        await node.call({}, {}, plugin);
        assert.equal(node.fake.world.given().size, 1);
        assert.deepEqual(await node.call({ CNI_COMMAND: 'DEL' }, changes, plugin), {
          stdout: '',
          exitCode: 0,
        });
        assert.equal(node.fake.world.given().size, 0);
        assert.deepEqual(node.files(), []);
        if (plugin === 'cellnet') assert.equal(reply(await node.call({}, changes, plugin)).code, 7);
      });
    }
  }

  test('beside another IPAM plugin: that plugin gets its DEL too', async () => {
    const ipam = { type: 'host-local' };
    await node.call({}, { ipam });
    const deleted = await node.call({ CNI_COMMAND: 'DEL' }, { ipam, bridg: 'x' });
    assert.deepEqual(deleted, { stdout: '', exitCode: 0 });
    assert.ok(node.fake.calls.includes('delegate host-local DEL'));
    assert.deepEqual(node.files(), []);
  });

  test('in its name, or CNI_ARGS: the container and interface are enough', async () => {
    await node.call();
    const args = { CNI_COMMAND: 'DEL', CNI_ARGS: 'nonsense' };
    assert.equal((await node.call(args, { name: '../x' })).exitCode, 0);
    assert.equal(node.fake.world.given().size, 0);
  });

  test('that is no JSON is refused', async () =>
    assert.equal(reply(await node.call({ CNI_COMMAND: 'DEL' }, '{')).code, 6));
});
