/**
 * A node with kept addresses that is given another name (docs/operations/node-name.md): its pods
 * find their addresses under the new name, wherever they were made, and only once.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startAgent } from '../../support/agent.ts';
import { podArgs } from '../../support/cni.ts';
import { startFabric } from '../../support/fabric.ts';
import { newScope } from '../../support/netns.ts';
import { startNode, type Pod } from '../../support/node.ts';
import type { RunResult } from '../../support/proc.ts';

interface Made {
  readonly pod: Pod;
  readonly ip: string;
  readonly mac: string;
}

suite('a node with kept addresses gets another name', () => {
  for (const by of ['agent', 'plugin'] as const)
    test(`pods that go, live and come again keep theirs, by the ${by}`, async (t) => {
      const scope = newScope(t);
      const fabric = scope.use(await startFabric());
      const node = scope.use(await startNode(fabric, 'renamed', { machineId: `machine-of-${by}` }));
      const must = async (...args: string[]): Promise<RunResult> => {
        const done = await fabric.cnictl(...args);
        assert.equal(done.code, 0, done.stdout + done.stderr);
        return done;
      };
      const blue = ['10.20.0.0/22', '--gateway', '10.20.0.1', '--vlan', '120', '--name', 'blue'];
      await must('range', 'add', ...blue);
      await must('rule', 'add', 'db', '--namespace', 'shop', '--pod', 'db-*', '--keep', 'forever');

      /** The node under a name. */
      const named = async (name: string) => {
        const env = { ...node.env, CELLNET_NODE: name };
        const running = by === 'agent' ? await startAgent({ ...node, env }) : undefined;
        const config = node.networkConfig();
        const ipam = { ...(config['ipam'] as object), node: name };
        const callOf = (pod: Pod) => ({
          args: podArgs('shop', pod.name, pod.uid, pod.containerId),
          config: { ...config, ipam },
          env: { ...env, ...running?.env },
        });
        return {
          tryAdd: async (pod: Pod): Promise<Made | string> => {
            const { code, stdout, result } = await node.call('ADD', pod, callOf(pod));
            const ip = result?.ips?.[0]?.address.split('/')[0] ?? '';
            const mac = result?.interfaces?.find(({ sandbox }) => sandbox)?.mac ?? '';
            return code === 0 ? { pod, ip, mac } : stdout;
          },
          async add(pod: Pod): Promise<Made> {
            const made = await this.tryAdd(pod);
            assert.ok(typeof made === 'object', JSON.stringify(made));
            return made;
          },
          check: async (pod: Pod, prevResult: object): Promise<number | null> => {
            const call = callOf(pod);
            const checked = { ...call, config: { ...call.config, prevResult } };
            return (await node.call('CHECK', pod, checked)).code;
          },
          end: (pod: Pod): Promise<void> => node.delPod(pod, callOf(pod)),
          repeat: async (pod: Pod): Promise<object> => {
            const { code, stdout, result } = await node.call('ADD', pod, callOf(pod));
            assert.equal(code, 0, stdout);
            assert.ok(result);
            return result;
          },
          stop: () => running?.stop(),
        };
      };
      const stateOf = async (ip: string): Promise<{ state: string; node: string }> =>
        JSON.parse((await must('ip', 'show', ip, '-o', 'json')).stdout) as { state: string; node: string };

      const former = await named('former');
      const [lives, goes, stays] = await Promise.all(
        ['db-0', 'db-1', 'db-2'].map(async (name) => await former.add(await node.makePod(name))),
      );
      assert.ok(lives && goes && stays);
      await former.end(goes.pod);
      await former.end(stays.pod);
      await former.stop();

      const renamed = await named('renamed');
      // One that went under the former name comes under the new one.
      const again = await renamed.add(await node.makePod('db-1'));
      assert.deepEqual([again.ip, again.mac], [goes.ip, goes.mac]);
      assert.deepEqual(await stateOf(again.ip).then(({ state, node: of }) => [state, of]), [
        'used',
        'renamed',
      ]);
      // One that lives through it is the same attachment as before.
      const result = await renamed.repeat(lives.pod);
      assert.ok(JSON.stringify(result).includes(`${lives.ip}/22`));
      assert.equal(await renamed.check(lives.pod, result), 0);
      // Its successor does not get the address as long as it lives.
      const early = await node.makePod('db-0');
      const told = await renamed.tryAdd(early);
      assert.ok(typeof told === 'string', 'the address of a pod that lives was given again');
      assert.match(told, /"code":\s*11/);
      assert.match(told, new RegExp(`container ${lives.pod.containerId}`));
      await renamed.end(lives.pod);
      assert.equal((await stateOf(lives.ip)).state, 'kept');
      const next = await renamed.add(early);
      assert.deepEqual([next.ip, next.mac], [lives.ip, lives.mac]);
      // Others get addresses of the new name.
      const other = await renamed.add(await node.makePod('web-1'));
      const all = [again, next, other, stays].map(({ ip }) => ip);
      assert.equal(new Set(all).size, all.length);

      // The last step of the rename: what the former name kept goes to the new one.
      const removed = await must(
        'node',
        'remove',
        'former',
        '--grace',
        '0',
        '--wait',
        '0',
        '--yes',
        '--force',
      );
      assert.match(removed.stdout, /handed over to node renamed/);
      assert.equal((await stateOf(stays.ip)).state, 'kept');
      const last = await renamed.add(await node.makePod('db-2'));
      assert.deepEqual([last.ip, last.mac], [stays.ip, stays.mac]);
      for (const each of [again, next, last]) {
        assert.equal((await stateOf(each.ip)).node, 'renamed');
        await renamed.end(each.pod);
        assert.equal((await stateOf(each.ip)).state, 'kept');
      }
      await renamed.end(other.pod);
      const doctor = await fabric.cnictl('doctor', '-o', 'json');
      assert.doesNotMatch(doctor.stdout, /no-index|wrong-node|other-node/);
      await renamed.stop();
    });
});
