import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { judgeClock, skewOf } from '../../../../cnictl/doctor/clock.ts';
import { judgeAlarms, judgeLatency, judgeMember, judgeMembers } from '../../../../cnictl/doctor/etcd.ts';
import { parseHealth } from '../../../../cnictl/doctor/ask-agent.ts';
import { ok, runChecks } from '../../../../cnictl/doctor/finding.ts';
import { judgeAgent, judgeMetricsPort } from '../../../../cnictl/doctor/node.ts';
import { judgeSwitch, judgeVlans, type Uplink } from '../../../../cnictl/doctor/ovs.ts';

suite('checks run side by side', () => {
  test('one that throws, one that throws at once and one that hangs are lines; the others are told in their order', async () => {
    const lines = await runChecks(
      [
        { name: 'hangs', look: () => new Promise(() => undefined) },
        { name: 'well', look: () => Promise.resolve([ok('well', 'yes')]) },
        { name: 'rejects', look: () => Promise.reject(new Error('no')) },
        {
          name: 'throws',
          look: () => {
            throw new Error('at once');
          },
        },
      ],
      50,
    );
    assert.deepEqual(
      lines.map(({ check, level, detail }) => [check, level, detail]),
      [
        ['hangs', 'fail', 'no answer within 0.05 s'],
        ['well', 'ok', 'yes'],
        ['rejects', 'fail', 'no'],
        ['throws', 'fail', 'at once'],
      ],
    );
  });
});

suite('clocks', () => {
  test('the true skew lies between the bounds, whatever way and time', () => {
    const ms = fc.integer({ min: 0, max: 5_000 });
    fc.assert(
      fc.property(
        fc.integer({ min: -100_000, max: 100_000 }),
        ms,
        ms,
        fc.integer({ min: 10 ** 12, max: 2 * 10 ** 12 }),
        (skew, there, back, asked) => {
          const serverTime = Math.floor((asked + there + skew) / 1000) * 1000;
          const [least, most] = skewOf({ serverTime, asked, answered: asked + there + back }) ?? [1, 0];
          assert.ok(least <= skew && skew <= most, `${least} ${skew} ${most}`);
        },
      ),
    );
  });

  const reading = (aheadMs: number): Parameters<typeof judgeClock>[1] => ({
    serverTime: 1_000_000 + aheadMs,
    asked: 1_000_400,
    answered: 1_000_500,
  });
  for (const [aheadMs, level] of [
    [0, 'ok'],
    [2_000, 'ok'],
    [5_000, 'warn'],
    [-5_000, 'warn'],
    [60_000, 'fail'],
    [-60_000, 'fail'],
  ] as const)
    test(`${aheadMs} ms ahead: ${level}`, () => assert.equal(judgeClock('c', reading(aheadMs)).level, level));

  test('it is told which way, and how exact that is', () => {
    assert.match(judgeClock('c', reading(60_000)).detail, /its clock is 60\.\d s ahead of ours \(±0\.6 s\)/);
    assert.match(judgeClock('c', reading(-60_000)).detail, /behind ours/);
    assert.equal(judgeClock('c', { ...reading(0), serverTime: undefined }).level, 'warn');
  });
});

test('etcd', () => {
  const member = { version: '3.5.9', dbBytes: 1e6, hasLeader: true };
  assert.equal(judgeMember('m', member).level, 'ok');
  assert.equal(judgeMember('m', { ...member, version: '3.3.1' }).level, 'fail');
  assert.equal(judgeMember('m', { ...member, version: '4.0.0' }).level, 'ok');
  assert.equal(judgeMember('m', { ...member, hasLeader: false }).level, 'fail');
  assert.equal(judgeMember('m', { ...member, dbBytes: 2e9 }).level, 'warn');
  assert.deepEqual([judgeLatency(3).level, judgeLatency(300).level], ['ok', 'warn']);
  assert.deepEqual(
    [judgeMembers(1, 1).level, judgeMembers(3, 1).level, judgeMembers(3, 3).level],
    ['warn', 'warn', 'ok'],
  );
  assert.deepEqual([judgeAlarms([]).level, judgeAlarms(['NOSPACE of member 1']).level], ['ok', 'fail']);
});

suite('the switch', () => {
  const uplink = (more: Partial<Uplink> = {}): Uplink => ({
    name: 'bond1',
    type: '',
    adminState: 'up',
    linkState: 'up',
    error: undefined,
    tag: undefined,
    trunks: [],
    mode: undefined,
    ...more,
  });
  const facts = (...uplinks: Uplink[]): Parameters<typeof judgeVlans>[0] => ({
    version: '3.1.0',
    bridge: { datapathType: 'netdev', uplinks },
  });
  const last = (...uplinks: Uplink[]): string =>
    judgeSwitch('br-cell', facts(...uplinks)).at(-1)?.level ?? '';

  test('bridge and uplink', () => {
    assert.equal(judgeSwitch('br-cell', { version: '3.1.0', bridge: undefined }).at(-1)?.level, 'fail');
    assert.equal(last(), 'warn');
    assert.equal(last(uplink()), 'ok');
    assert.equal(last(uplink({ adminState: 'down' })), 'fail');
    assert.equal(last(uplink({ linkState: 'down' })), 'fail');
    assert.equal(last(uplink({ error: 'could not open network device' })), 'fail');
  });

  const vlans: [Partial<Uplink>, 'ok' | 'fail'][] = [
    [{}, 'ok'],
    [{ trunks: [120, 140] }, 'ok'],
    [{ trunks: [120] }, 'fail'],
    [{ tag: 120 }, 'fail'],
    [{ trunks: [140], tag: 120, mode: 'native-untagged' }, 'ok'],
    [{ tag: 5, mode: 'access' }, 'fail'],
  ];
  for (const [more, level] of vlans)
    test(`VLANs 120 and 140 by ${JSON.stringify(more)}: ${level}`, () =>
      assert.equal(judgeVlans(facts(uplink(more)), [120, 140]).level, level));
});

test('the agent', () => {
  const health = { ok: true, version: '1', reasons: [] };
  const level = (socket: string | false, answers: boolean, more?: Partial<typeof health> | null): string =>
    judgeAgent(socket, { answers, health: more === null ? undefined : { ...health, ...more } }, '1').level;
  assert.equal(level(false, false, null), 'ok');
  assert.equal(level('/s', false, null), 'warn');
  assert.equal(level('/s', true, null), 'warn');
  assert.equal(level('/s', true, { version: '0' }), 'warn');
  assert.equal(level('/s', true, { ok: false }), 'fail');
  assert.equal(level('/s', true), 'ok');
  const past = { configured: 2, unanswered: 0, hung: 1 };
  const told = judgeAgent('/s', { answers: true, health: { ...health, callsPastAgent: past } }, '1');
  assert.equal(told.level, 'warn');
  assert.match(told.detail, /3 calls came past it since it began: 2 configured, 1 hung$/);
  const none = { configured: 0, unanswered: 0, hung: 0 };
  assert.equal(
    judgeAgent('/s', { answers: true, health: { ...health, callsPastAgent: none } }, '1').level,
    'ok',
  );
  assert.deepEqual(parseHealth(JSON.stringify({ ...health, callsPastAgent: past }))?.callsPastAgent, past);
  assert.equal(parseHealth('hello'), undefined);
  assert.equal(parseHealth('{}'), undefined);
});

test('the port for metrics: as asked for, or why not', () => {
  const port = (more: object): ReturnType<typeof judgeMetricsPort> => {
    const body = JSON.stringify({ ok: true, version: '1', ...more });
    return judgeMetricsPort({ answers: true, health: parseHealth(body) });
  };
  assert.deepEqual(port({}), []);
  assert.deepEqual(judgeMetricsPort({ answers: false, health: undefined }), []);
  const asked = { listen: '0.0.0.0:9464', tls: true };
  assert.equal(port({ metricsPort: asked })[0]?.detail, '0.0.0.0:9464, with TLS');
  const [line] = port({ metricsPort: { ...asked, reason: 'listen EADDRINUSE' } });
  assert.equal(line?.level, 'warn');
  assert.equal(line.detail, '0.0.0.0:9464 is not served as configured: listen EADDRINUSE');
  assert.match(line.remedy, /tries again each second/);
});
