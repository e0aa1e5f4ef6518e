import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { operatorOf } from '../../../cnictl/context/operator.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { CliWorld } from '../../golden/world.ts';

interface Shown {
  readonly apiServer: string;
  readonly addresses: { ip: string }[];
  readonly past: { ip: string; why: string }[];
  readonly mismatches: { kind: string; ip: string; message: string }[];
}
const show = async (world: CliWorld, name: string): Promise<Shown> => {
  const ran = await world.run(`pod show ${name} -o json`);
  assert.equal(ran.status, 0, ran.stderr);
  return JSON.parse(ran.stdout) as Shown;
};
const kinds = ({ mismatches }: Shown): string[] => mismatches.map(({ kind, ip }) => `${kind} ${ip}`);

suite('pod show', () => {
  test('points out what etcd and the API server do not agree about, each by its kind', async () => {
    const world = await CliWorld.make();
    assert.deepEqual(kinds(await show(world, 'shop/web-1')), []);
    assert.deepEqual(kinds(await show(world, 'shop/web-2')), ['pod-finished 10.20.0.17']);
    assert.deepEqual(kinds(await show(world, 'shop/db-0')), ['pod-replaced 10.20.0.18']);
    assert.deepEqual(kinds(await show(world, 'shop/job-1')), ['pod-gone 10.20.0.19']);
    assert.deepEqual(kinds(await show(world, 'shop/lost')), ['not-held 10.20.3.77']);
    assert.deepEqual(kinds(await show(world, 'shop/kube-proxy')), []);
  });

  test('tells who has what the pod says it has; addresses of other networks are not ours', async () => {
    const world = await CliWorld.make();
    world.pods = [world.pod(0, 'web-1', { podIPs: ['10.20.0.17', '192.168.7.7'] })];
    const { mismatches } = await show(world, 'shop/web-1');
    assert.deepEqual(
      mismatches.map(({ kind, ip }) => `${kind} ${ip}`),
      ['not-reported 10.20.0.16', 'not-held 10.20.0.17'],
    );
    assert.match(mismatches[1]?.message ?? '', /given to shop\/web-2 \(block 10\.20\.0\.16\/28 of node-1\)/);
  });

  test('a pod on another node than its address is told; a domain or capitals make no other node', async () => {
    const world = await CliWorld.make();
    for (const [nodeName, expected] of [
      ['worker-7', ['other-node 10.20.0.16']],
      ['node-1.example.com', []],
      ['NODE-1', []],
    ] as const) {
      world.pods = [world.pod(0, 'web-1', { nodeName })];
      assert.deepEqual(kinds(await show(world, 'shop/web-1')), expected, nodeName);
    }
  });

  test('knows a static pod by the hash, and doubts nothing of a pod whose addresses are not told yet', async () => {
    const world = await CliWorld.make();
    const [pod] = world.pods;
    assert.ok(pod);
    world.pods = [{ ...pod, uid: 'mirror', configHash: pod.uid, podIPs: [] }];
    assert.deepEqual(kinds(await show(world, 'shop/web-1')), []);
  });

  test('a phase that came before the end of the containers, or a deletion, is told and no end', async () => {
    const world = await CliWorld.make();
    const ending = { phase: 'Failed', hasRunningContainer: true, deletionTimestamp: '2026-01-01T00:10:00Z' };
    world.pods = [world.pod(1, 'web-2', ending)];
    assert.deepEqual(kinds(await show(world, 'shop/web-2')), []);
    const { stdout } = await world.run('pod show shop/web-2');
    assert.match(stdout, /Phase: +Failed, a container runs, Terminating since 2026-01-01T00:10:00Z\n/);
    world.pods = [world.pod(1, 'web-2', { ...ending, podIPs: ['10.20.0.17', '10.20.0.40'] })];
    assert.deepEqual(kinds(await show(world, 'shop/web-2')), [], 'it may be after its DEL');
  });

  test('works without an API server, and with one that does not answer, and says so', async () => {
    const world = await CliWorld.make();
    world.kube = {
      getPod: () => Promise.reject(new KubeError('unreachable', 'https://api.example.org: no answer')),
    };
    const ran = await world.run('pod show shop/web-2');
    assert.equal(ran.status, 2, 'as node show');
    assert.match(ran.stderr, /the API server could not be asked: https:\/\/api\.example\.org: no answer/);
    assert.match(ran.stdout, /10\.20\.0\.17/);
    assert.doesNotMatch(ran.stdout, /Mismatch/);
    world.env = {};
    const alone = await show(world, 'shop/web-2');
    assert.deepEqual([alone.apiServer, alone.addresses.length, alone.mismatches], ['no-server', 1, []]);
    const never = await world.run('pod show shop/never');
    assert.equal(never.status, 2, 'as node show');
    assert.match(never.stderr, /no API server is configured, and etcd holds no address of one/);
  });

  test('of a name that nobody knows is trouble', async () => {
    const world = await CliWorld.make();
    const ran = await world.run('pod show shop/never');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /pod 'shop\/never' is not known/);
  });
});

suite('what comes from outside', () => {
  test('cannot write to the terminal, in a history or a pod', async () => {
    const world = await CliWorld.make();
    const record = {
      v: 1,
      ip: '10.20.0.16',
      node: 'node\u001b[31m',
      owner: {
        containerId: '\u0007c',
        ifname: 'eth0',
        network: 'cell',
        podNamespace: 'shop',
        podName: 'web-1',
        podUid: '\u001b]0;x',
      },
      allocatedAt: '2026-01-01T00:00:00.000Z',
      releasedAt: '2026-01-01T00:00:01.000Z',
      why: 'operator',
      by: '\u202eevil',
    };
    await world.ipam.store.commit([], [put('history/blue/10.20.0.16/28/0', JSON.stringify(record))]);
    for (const command of ['ip history 10.20.0.16', 'pod show shop/web-1']) {
      const { stdout, status } = await world.run(command);
      assert.equal(status, 0);
      assert.match(stdout, /operator, by \\u202eevil/);
      assert.doesNotMatch(stdout.replaceAll('\n', ''), /[\p{Cc}\p{Bidi_Control}]/u);
    }
  });

  test('a history that cannot be read is told beside the rest', async () => {
    const world = await CliWorld.make();
    await world.ipam.store.commit([], [put('history/blue/10.20.0.16/28/3', '{"v":2}')]);
    const { stdout, stderr, status } = await world.run('ip history 10.20.0.16');
    assert.equal(status, 0);
    assert.match(stdout, /in use/);
    assert.match(
      stderr,
      /etcd key 'history\/blue\/10\.20\.0\.16\/28\/3' was written by a newer cellnet.*\n.*left out: 1 record/,
    );
  });
});

test('the operator is named by user and host, behind sudo too', () => {
  const hostname = 'admin-1';
  assert.equal(operatorOf({ env: { USER: 'root', SUDO_USER: 'alice' }, hostname }), 'alice@admin-1');
  assert.equal(operatorOf({ env: { USER: 'bob', SUDO_USER: '' }, hostname }), 'bob@admin-1');
  assert.equal(operatorOf({ env: {}, hostname }), 'admin-1');
});
