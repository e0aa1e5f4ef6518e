import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Finding } from '../../../../cni/reconcile/reconcile.ts';
import { judgePorts } from '../../../../cnictl/doctor/ports.ts';

const finding = (n: number, reason: Finding['reason'], outcome: Finding['outcome'] = 'found'): Finding => ({
  id: `c${n}`,
  containerId: `c${n}`,
  ifname: 'eth0',
  pod: n === 0 ? undefined : `shop/web-${n}`,
  ips: [],
  portIps: [],
  reason,
  outcome,
  released: [],
  swept: [],
  error: undefined,
});

suite('doctor on the ports of running pods', () => {
  test('all are there: what is left of other pods is no matter of this check', () => {
    const [line, ...more] = judgePorts({ findings: [finding(1, 'namespace-gone', 'waiting')], failures: [] });
    assert.deepEqual([line?.level, line?.check, more.length], ['ok', 'ports', 0]);
  });

  test('a line for each fault names the first five pods, also while their bridge is away', () => {
    const findings = [
      ...[0, 1, 2, 3, 4, 5, 6].map((n) => finding(n, 'no-port', 'failed')),
      finding(7, 'port-moved'),
    ];
    const lines = judgePorts({ findings, failures: ["ports: bridge 'br-cell' does not exist"] });
    assert.deepEqual(
      lines.map(({ level, detail }) => `${level}: ${detail}`),
      [
        'fail: 7 running pods without a port in Open vSwitch: c0/eth0, shop/web-1, shop/web-2, shop/web-3, shop/web-4, and 2 more',
        'fail: 1 running pod with its port on another bridge than its ADD put it on: shop/web-7',
      ],
    );
  });

  test('what could not be read has the line of its own check', () => {
    assert.deepEqual(judgePorts({ findings: [], failures: ['ports at unix:/db.sock: away'] }), []);
  });
});
