import { reconcile, type Finding as Found, type ReconcileReport } from '../../cni/reconcile/reconcile.ts';
import type { OwnPlace } from '../../cni/reconcile/places.ts';
import { PORT_FAULTS, type PortFault } from '../../cni/reconcile/verdict.ts';
import type { Platform } from '../../cni/platform/platform.ts';
import { plural } from '../render/plural.ts';
import { fail, ok, type Check, type Finding } from './finding.ts';

/** Returns the check whether each running pod of this node has the port that its ADD made. */
export function portCheck(openPlatform: () => Promise<Platform>, own: () => OwnPlace): Check {
  return {
    name: 'ports',
    look: async () => {
      const options = { graceMs: Infinity, dryRun: true, suspected: new Map(), at: 0 };
      return judgePorts(await reconcile(await openPlatform(), own(), options));
    },
  };
}

const NAMED = 5;

const WHAT: Readonly<Record<PortFault, string>> = {
  'no-port': 'without a port in Open vSwitch',
  'port-moved': 'with its port on another bridge than its ADD put it on',
  'port-changed': 'with another VLAN or other marks than its ADD gave its port',
};

/** Etcd or an Open vSwitch that could not be read has a line of its own check. */
export function judgePorts({
  findings,
  failures,
}: Pick<ReconcileReport, 'findings' | 'failures'>): Finding[] {
  const lines = PORT_FAULTS.flatMap((fault) => {
    const pods = findings.filter(({ reason }) => reason === fault).map(podOf);
    return pods.length === 0 ? [] : [judgeFault(fault, pods)];
  });
  if (lines.length > 0 || failures.length > 0) return lines;
  return [ok('ports', 'every running pod of this node has its port')];
}

function judgeFault(fault: PortFault, pods: readonly string[]): Finding {
  const more = pods.length > NAMED ? `, and ${pods.length - NAMED} more` : '';
  return fail(
    'ports',
    `${plural(pods.length, 'running pod')} ${WHAT[fault]}: ${pods.slice(0, NAMED).join(', ')}${more}`,
    'The agent makes them again within a minute, once the bridge is there; without it: cnictl node reconcile. Find out who removes or changes them.',
  );
}

const podOf = ({ pod, containerId, ifname }: Found): string => pod ?? `${containerId}/${ifname}`;
