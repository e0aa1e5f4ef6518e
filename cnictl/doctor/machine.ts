import { describeMachine, type Machine } from '../../ipam/model/machine.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { otherMachine } from '../../ipam/node/name-owner.ts';
import { viewName, type NameView } from '../../ipam/node/name-records.ts';
import { ownsName } from '../../ipam/records/machine-record.ts';
import { fail, ok, type Check, type Finding } from './finding.ts';

/** Returns the check whether this machine has its node's name. */
export function machineCheck(
  withIpam: <T>(work: (ipam: Ipam) => Promise<T>) => Promise<T>,
  node: string,
  machine: () => Machine,
): Check {
  return {
    name: 'machine',
    look: async () => [judgeMachine(await withIpam(({ store }) => viewName(store, node)), machine())],
  };
}

export function judgeMachine({ node, owner, alive, problems }: NameView, own: Machine): Finding {
  const check = 'machine';
  const [problem] = problems;
  if (problem !== undefined)
    return fail(check, problem, 'docs/etcd-records.md describes the record; `etcdctl get` shows it.');
  if (owner && !ownsName(owner.record, own)) {
    const { message, remedy } = otherMachine(node, owner.record, own);
    return fail(check, message, remedy);
  }
  const ids = [own.id, owner?.record.machine?.id];
  if (alive && !ids.includes(alive.record.machine)) {
    const since = new Date(alive.record.since).toISOString();
    return fail(
      check,
      `machine ${alive.record.machine} is alive under node name '${node}' since ${since}; this is ${describeMachine(own)}`,
      'Give one of the two machines a node name of its own.',
    );
  }
  const state = owner ? 'has node name' : 'writes as the first under node name';
  return ok(check, `${describeMachine(own)} ${state} '${node}'`);
}
