import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../../cni/kube/errors.ts';
import { OvsdbError } from '../../../../cni/ovsdb/errors.ts';
import { mergeCauses } from '../../../../cnictl/doctor/causes.ts';
import { judgeAlarms, judgeMember, judgeMembers, judgePermissions } from '../../../../cnictl/doctor/etcd.ts';
import { fail, failed, ok, warn, type Finding } from '../../../../cnictl/doctor/finding.ts';
import { IpamError } from '../../../../ipam/model/errors.ts';
import { CliWorld } from '../../../golden/world.ts';

const shape = (findings: readonly Finding[]): [string, ...string[]][] =>
  findings.map(({ check, also = [] }) => [check, ...also]);
const away = (text: string): IpamError => new IpamError('store-unreachable', text);

suite('one line a cause', () => {
  test('etcd is away: the line of the whole etcd stays, and names the others', () => {
    const findings = [
      failed('etcd http://a', away('a')),
      failed('etcd http://b', away('b')),
      failed('etcd latency', away('etcd at a,b did not answer in time')),
      ok('API server', 'fine'),
      failed('ranges', away('c')),
    ];
    assert.deepEqual(shape(mergeCauses(findings)), [
      ['etcd latency', 'etcd http://a', 'etcd http://b', 'ranges'],
      ['API server'],
    ]);
  });

  test('endpoints that are away while others answer keep their lines', () => {
    const findings = [
      failed('etcd http://a', away('a')),
      failed('etcd http://b', away('b')),
      ok('etcd latency', ''),
    ];
    assert.deepEqual(mergeCauses(findings), findings);
  });

  test('Open vSwitch, the API server, and an error of the same text', () => {
    const timeout = (what: string): KubeError => new KubeError('timeout', `${what}: not done`);
    const findings = [
      failed('Open vSwitch', new OvsdbError('unreachable', 'x')),
      failed('VLANs', new OvsdbError('timeout', 'y')),
      failed('API server: list pods', timeout('pods')),
      failed('node name', timeout('node')),
      failed('etcd alarms', new IpamError('store-denied', 'authentication failed')),
      failed('set-back', new IpamError('store-denied', 'authentication failed')),
    ];
    assert.deepEqual(shape(mergeCauses(findings)), [
      ['Open vSwitch', 'VLANs'],
      ['API server: list pods', 'node name'],
      ['etcd alarms', 'set-back'],
    ]);
  });

  test('what a check itself judged, and what the API server forbids, are causes of their own', () => {
    const forbidden = (what: string): KubeError => new KubeError('forbidden', what);
    const findings = [
      fail('records', 'x', 'y'),
      fail('ranges', 'x', 'y'),
      warn('a', 'x', 'y'),
      failed('API server: list pods', forbidden('pods')),
      failed('API server: list nodes', forbidden('nodes')),
    ];
    assert.deepEqual(mergeCauses(findings), findings);
  });

  test('with etcd away, doctor has one line of it', async () => {
    const world = await CliWorld.make();
    const rejected = (): Promise<never> =>
      Promise.reject(away('etcd at http://127.0.0.1:2379 is unreachable'));
    world.etcd = {
      latency: rejected,
      status: rejected,
      alarms: rejected,
      members: rejected,
      mayWrite: rejected,
      clock: rejected,
    };
    const { stdout, status } = await world.run('doctor --cluster -o json');
    const { findings, counts } = JSON.parse(stdout) as { findings: Finding[]; counts: { fail: number } };
    assert.deepEqual([status, counts.fail], [1, 1]);
    assert.deepEqual(findings.find(({ level }) => level === 'fail')?.also?.length, 5);
  });
});

suite('the exit status', () => {
  test('an etcd of one member is advice, which sets none', async () => {
    const world = await CliWorld.make();
    world.etcd = { members: () => Promise.resolve(1) };
    const ran = await world.run('doctor --cluster');
    assert.deepEqual([ran.status, /warn +etcd members +1 in the cluster/.test(ran.stdout)], [0, true]);
  });

  test('--fail-on fail: a warning sets none, a failure does', async () => {
    const world = await CliWorld.make();
    world.env = {};
    assert.equal((await world.run('doctor --cluster')).status, 1);
    assert.equal((await world.run('doctor --cluster --fail-on fail')).status, 0);
    world.etcd = { alarms: () => Promise.resolve(['NOSPACE of member 1']) };
    assert.equal((await world.run('doctor --cluster --fail-on fail')).status, 1);
    const refused = await world.run('doctor --fail-on never');
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /'never' is invalid.*warn, fail/);
  });
});

suite('rights in etcd', () => {
  const settings = { prefix: '/cellnet', username: 'node-1' };

  test('what etcd tells to root only is no failure, and no reason to become root', () => {
    for (const finding of [
      judgeMember('etcd http://a', 'denied'),
      judgeMembers('denied', 3),
      judgeAlarms('denied'),
    ])
      assert.deepEqual(
        [finding.level, /root only, and cellnet does not need it/.test(finding.detail)],
        ['ok', true],
      );
  });

  test('where the list of alarms is for root, a refused write tells of the alarm, once', async () => {
    const world = await CliWorld.make();
    const full = new IpamError('store-read-only', 'etcd has used up its quota (alarm NOSPACE)');
    world.etcd = { alarms: () => Promise.resolve('denied'), mayWrite: () => Promise.reject(full) };
    const { stdout, status } = await world.run('doctor --cluster -o json');
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    const failures = findings.filter(({ level }) => level === 'fail');
    assert.deepEqual(
      [status, failures.map(({ check, also }) => [check, also])],
      [1, [['etcd alarms', ['etcd permissions']]]],
    );
    assert.match(failures[0]?.detail ?? '', /alarm NOSPACE/);
    assert.match(failures[0]?.remedy ?? '', /etcdctl alarm disarm/);
    assert.match(judgeAlarms('denied', true).detail, /^etcd takes writes; /);
  });

  test('a node needs less than an operator', () => {
    const denied = ['/cellnet/v1/ranges/', '/cellnet/v1/nodes/'];
    assert.equal(judgePermissions(settings, 'node-1', denied, []).level, 'ok');
    const operator = judgePermissions(settings, undefined, denied, []);
    assert.match(operator.detail, /user node-1 may not write below \/cellnet\/v1\/ranges\/, /);
    const node = judgePermissions(settings, 'node-1', denied, ['/cellnet/v1/alive/node-1']);
    assert.deepEqual(
      [node.level, node.detail],
      ['fail', 'user node-1 may not write /cellnet/v1/alive/node-1'],
    );
    assert.match(node.remedy, /etcd-roles\.sh node node-1$/);
  });

  test('without a user it is said that every client may, and a certificate is named', () => {
    const text = (more: object): string =>
      judgePermissions({ prefix: '/c', ...more }, undefined, [], []).detail;
    assert.match(text({}), /^every client that reaches etcd \(no user is configured\) may read and write/);
    assert.match(text({ certFile: '/node.pem' }), /^the client certificate \/node\.pem may/);
  });
});
