import { IpamError } from '../../ipam/model/errors.ts';
import { describeMachine, isSameMachine, type Machine } from '../../ipam/model/machine.ts';
import { otherMachine } from '../../ipam/node/name-owner.ts';
import type { AliveRecord } from '../../ipam/records/alive-record.ts';
import { ownsName, type MachineRecord } from '../../ipam/records/machine-record.ts';

/**
 * Returns why this machine is not the one that lives under the node's name: the name belongs to
 * another machine, or another one is alive under it. Undefined: it may tell that it is alive.
 * @param record undefined before the first write under the name
 * @param alive undefined when no agent is alive under the name
 */
export function troubleOf(
  node: string,
  own: Machine,
  record: MachineRecord | undefined,
  alive: AliveRecord | undefined,
): IpamError | undefined {
  if (record && !ownsName(record, own)) return otherMachine(node, record, own);
  if (!alive || isOf(alive, own, record)) return undefined;
  const since = new Date(alive.since).toISOString();
  return new IpamError(
    'other-machine',
    `machine ${alive.machine} is alive under node name '${node}' since ${since}; this is ${describeMachine(own)}`,
    { remedy: 'Give one of the two machines a node name of its own.' },
  );
}

/** The ID changes with the network cards, and the machine stays the same. */
function isOf(alive: AliveRecord, own: Machine, record: MachineRecord | undefined): boolean {
  if (alive.machine === own.id) return true;
  return record?.machine?.id === alive.machine && isSameMachine(record.machine, own);
}
