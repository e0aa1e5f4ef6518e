import { ETCD_FAULTS } from './etcd-faults.ts';
import type { Fault } from './fault.ts';
import { AGENT_FAULTS, MACHINE_FAULTS } from './node-faults.ts';
import { OVS_FAULTS } from './ovs-faults.ts';

/** All faults, in the order of the document. */
export const FAULTS: readonly Fault[] = [...ETCD_FAULTS, ...OVS_FAULTS, ...AGENT_FAULTS, ...MACHINE_FAULTS];

/**
 * Returns the faults of these names, or all when there is none.
 * @throws Error for a name that no fault has
 */
export function chooseFaults(names: readonly string[]): readonly Fault[] {
  const unknown = names.filter((name) => !FAULTS.some((fault) => fault.name === name));
  if (unknown.length > 0)
    throw new Error(
      `no fault ${unknown.join(', ')}: expected some of ${FAULTS.map(({ name }) => name).join(', ')}`,
    );
  return names.length === 0 ? FAULTS : FAULTS.filter(({ name }) => names.includes(name));
}
