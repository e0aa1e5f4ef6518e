import { IpamError } from '../model/errors.ts';
import { describeMachine, type Machine } from '../model/machine.ts';
import { ownsName, type MachineRecord } from '../records/machine-record.ts';

/** @throws IpamError `other-machine` naming both, unless the machine has the node's name */
export function checkOwnsName(
  node: string,
  record: MachineRecord | undefined,
  own: Machine | undefined,
): void {
  if (record && own && !ownsName(record, own)) throw otherMachine(node, record, own);
}

/** Returns the error that names both machines and the way out. */
export function otherMachine(
  node: string,
  { machine, adoptedBy }: Pick<MachineRecord, 'machine' | 'adoptedBy'>,
  own: Machine,
): IpamError {
  const owner = adoptedBy ?? machine?.id;
  const described = machine?.id === owner && machine ? describeMachine(machine) : `machine ${owner ?? '?'}`;
  return new IpamError(
    'other-machine',
    `node name '${node}' belongs to ${described}; this is ${describeMachine(own)}`,
    {
      remedy:
        `Give this machine a node name of its own. If it replaces the other one for good: ` +
        `cnictl node adopt ${node} --machine ${own.id}`,
    },
  );
}
