import { localPodOf, type LocalPod } from '../../cni/dataplane/local-pod.ts';
import { watchPorts } from '../../cni/ovsdb/port-watch.ts';
import { stateDirOf } from '../../cni/protocol/settings.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import { didYouMean } from '../../ipam/model/nearest.ts';
import { DEFAULT_OVSDB } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { quietLog } from '../context/quiet-log.ts';

/** A pod of this node, at its port. */
export interface NodePod {
  /** `namespace/name`. */
  readonly name: string;
  readonly ifname: string;
  readonly bridge: string;
  readonly pod: LocalPod;
}

/** Reads the pods that have a port on a bridge of this node, and whose port forwards. */
export async function podsOfNode(context: Context): Promise<NodePod[]> {
  const { world, settings } = context;
  const client = await world.openOvsdb(settings.ovsdb ?? DEFAULT_OVSDB, settings.ovsdbTls ?? {});
  try {
    const ports = await watchPorts(client, () => undefined);
    const records = (await world.openPlatform(quietLog)).openState(stateDirOf(world.env));
    return [...ports()].flatMap(([bridge, its]) =>
      its.flatMap((port) => {
        const { 'container-id': containerId = '', ifname = '', ...ids } = port.externalIds;
        const pod = localPodOf(port, { mac: records.readAttachment({ containerId, ifname })?.mac });
        const name = `${ids['pod-namespace'] ?? '?'}/${ids['pod-name'] ?? '?'}`;
        return pod ? [{ name, ifname, bridge, pod }] : [];
      }),
    );
  } finally {
    client.close();
  }
}

/**
 * Returns the pod's interface that has an address of the destination's family: eth0 before others.
 * @throws CommandError for a pod that has none on this node
 */
export function interfaceOf(
  pods: readonly NodePod[],
  name: string,
  { family }: Address,
): { readonly at: NodePod; readonly source: Address } {
  const its = pods.filter((each) => each.name === name);
  if (its.length === 0)
    throw new CommandError(
      `pod '${name}' has no port on this node`,
      `${didYouMean(
        name,
        pods.map((each) => each.name),
      )}Run it on the pod's node: \`cnictl pod show ${name}\` names it.`,
    );
  const sorted = [...its].sort((a, b) => Number(b.ifname === 'eth0') - Number(a.ifname === 'eth0'));
  for (const at of sorted) {
    const source = at.pod.addresses.find((address) => address.family === family);
    if (source) return { at, source };
  }
  const has = its.flatMap(({ pod }) => pod.addresses.map(formatAddress)).join(', ');
  throw new CommandError(`pod '${name}' has no IPv${family} address: it has ${has || 'none'}`);
}
