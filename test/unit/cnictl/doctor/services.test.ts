import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { BridgeReport } from '../../../../cni/agent/dataplane/service-report.ts';
import type { Finding } from '../../../../cnictl/doctor/finding.ts';
import {
  judgeBridge,
  judgeServices,
  judgeVersion,
  servicesCheck,
} from '../../../../cnictl/doctor/services.ts';
import { LIST, reply, SERVING } from '../../../golden/services-world.ts';

const OFF = { served: false, known: false, bridges: [], frontends: [], refusals: [] };
const NO_KUBECONFIG = { ...OFF, reason: 'no kubeconfig is known' };
const BRIDGE: BridgeReport = { bridge: 'br-cell', inPlace: true, flows: 81, differences: 0, failure: null };
const short = ({ level, detail, advice }: Finding): string => `${advice ? 'advice' : level}: ${detail}`;

suite('doctor: Services', () => {
  for (const [what, settings, knowsKube, told] of [
    ['without an API server there are none', {}, false, []],
    [
      'off by accident',
      {},
      true,
      [/^advice: are not served on this node: no kubeconfig is known; pods reach no/],
    ],
    ['off, as configured', { services: false }, true, [/^ok: off, as configured: pods reach no ClusterIP/]],
    ['asked for, and not served', { services: true }, false, [/^fail: are not served: no kubeconfig/]],
  ] as const) {
    test(what, () => {
      const lines = judgeServices(NO_KUBECONFIG, settings, knowsKube).map(short);
      assert.equal(lines.length, told.length, lines.join('\n'));
      told.forEach((pattern, i) => assert.match(lines[i] ?? '', pattern));
    });
  }

  test('served: how many; refusals are advice; an agent that waits for the API server is warned of', () => {
    const lines = (more: object): string[] => judgeServices({ ...LIST, ...more }, {}, true).map(short);
    assert.deepEqual(lines({ refusals: [] }), ['ok: 2 Services served at 3 addresses and ports']);
    assert.match(
      lines({})[0] ?? '',
      /^advice: .*; 1 refusal, such as the cluster IP 10\.20\.0\.1 of shop\/taken/,
    );
    assert.match(lines({ known: false })[0] ?? '', /^warn: the agent has not had all Services/);
  });

  test('the program of a bridge: in place, not yet, failed, changed by somebody else', () => {
    const told = (more: Partial<BridgeReport>): string => short(judgeBridge({ ...BRIDGE, ...more }));
    assert.equal(told({}), 'ok: in place, 81 flows');
    assert.match(told({ inPlace: false }), /^warn: is being brought/);
    assert.match(told({ inPlace: false, failure: 'no socket' }), /^fail: is not in place: no socket$/);
    assert.match(told({ differences: 2 }), /^warn: in place, 81 flows; .* changed its flows 2 times/);
  });

  test('Open vSwitch before 3.1 keeps UDP connections', () => {
    for (const version of [undefined, '', '3.1.0', '3.10.1', '4.0.0'])
      assert.deepEqual(judgeVersion(version), []);
    for (const version of ['2.17.9', '3.0.1'])
      assert.match(judgeVersion(version).map(short).join(''), /^advice: Open vSwitch \d\S+ keeps UDP/);
  });

  test('no line of an agent that does not answer, or is older', async () => {
    const look = (answer: ReturnType<typeof reply> | undefined, settings = {}): Promise<readonly Finding[]> =>
      servicesCheck({ askAgent: () => Promise.resolve(answer) }, settings, true, () =>
        Promise.reject(new Error('Open vSwitch is away')),
      ).look();
    assert.deepEqual(await look(undefined), []);
    assert.deepEqual(await look({ status: 404, body: 'expected /metrics or /healthz\n' }), []);
    assert.deepEqual(
      (await look(reply(LIST))).map(({ check }) => check),
      ['Services', 'program of br-cell'],
    );
    const limits = { ...NO_KUBECONFIG, bridges: SERVING.bridges };
    assert.deepEqual(
      (await look(reply(limits))).map(({ check }) => check),
      ['Services'],
    );
    assert.match((await look(undefined, { agent: false })).map(short).join(''), /^advice: no agent is used/);
  });
});
