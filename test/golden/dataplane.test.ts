import { suite, test } from 'node:test';
import type { LocalPod } from '../../cni/dataplane/local-pod.ts';
import { Program } from '../../cni/dataplane/program.ts';
import type { RangePlace } from '../../cni/dataplane/range-flows.ts';
import { serviceProgram } from '../../cni/dataplane/service-flows.ts';
import { flowText, groupText } from '../../cni/dataplane/text.ts';
import { frontendKey, type Frontend } from '../../cni/services/frontend.ts';
import { parseAddress, parseCidr } from '../../ipam/model/address.ts';
import { hold } from './hold.ts';

/** The bridge's program for small worlds, as text. */
const POD: LocalPod = {
  port: 'cell0123456789a',
  ofport: 7,
  vlan: 120,
  mac: 0x0a580a140005n,
  addresses: [parseAddress('10.20.0.5'), parseAddress('fd00:20::5')],
};
const RANGES: RangePlace[] = [
  {
    name: 'blue',
    cidr: parseCidr('10.20.0.0/22'),
    vlan: 120,
    exclude: [],
    gateway: parseAddress('10.20.0.1'),
  },
  { name: 'six', cidr: parseCidr('fd00:20::/64'), vlan: 120, exclude: [] },
];
const frontend = (
  address: string,
  port: number,
  endpoints: string[],
  more: Partial<Frontend> = {},
): Frontend => ({
  ...{ service: 'shop/web', portName: 'http', kind: 'cluster', protocol: 6 },
  ...{ address: parseAddress(address), port, affinitySeconds: undefined, sourceRanges: undefined },
  endpoints: endpoints.map((each) => {
    const [, host = '', number = ''] = /^(.*):(\d+)$/.exec(each) ?? [];
    return { address: parseAddress(host), port: Number(number), nodeName: undefined, podUid: undefined };
  }),
  ...more,
});

function shown(frontends: readonly Frontend[], pods: readonly LocalPod[] = []): string {
  const program = new Program();
  program.setRanges(RANGES);
  program.setPods(pods);
  for (const each of frontends) program.setFrontend(frontendKey(each), each);
  const flows = [...program.flows()].map(flowText).sort();
  const groups = frontends.flatMap((each, i) => {
    const { group } = serviceProgram(each, i + 1, program.rangeMap);
    return group ? [groupText(group)] : [];
  });
  return [...flows, ...groups, ''].join('\n');
}

suite("the bridge's program", () => {
  test('without pods and Services', () => hold('dataplane-empty', shown([])));
  test('of one pod', () => hold('dataplane-pod', shown([], [POD])));
  test('of a Service with two endpoints, one outside the ranges', () =>
    hold('dataplane-service', shown([frontend('10.96.0.10', 80, ['10.20.0.9:8080', '192.0.2.7:8080'])])));
  test('of a UDP Service', () =>
    hold('dataplane-udp', shown([frontend('10.96.0.10', 53, ['10.20.0.9:53'], { protocol: 17 })])));
  test('of UDP at an external address', () =>
    hold(
      'dataplane-udp-external',
      shown([frontend('203.0.113.5', 53, ['10.20.0.9:53'], { protocol: 17, kind: 'external' })]),
    ));
  test('of a Service without endpoints', () =>
    hold('dataplane-refused', shown([frontend('10.96.0.10', 80, [])])));
  test('of a Service with session affinity, over IPv6', () =>
    hold(
      'dataplane-affinity',
      shown([frontend('fd00:96::a', 80, ['fd00:20::9:8080'], { affinitySeconds: 10_800 })]),
    ));
  test('of a load balancer with source ranges', () =>
    hold(
      'dataplane-source-ranges',
      shown([
        frontend('203.0.113.5', 80, ['10.20.0.9:8080'], {
          kind: 'load-balancer',
          sourceRanges: [parseCidr('10.20.0.0/22'), parseCidr('fd00::/8')],
        }),
      ]),
    ));
});
