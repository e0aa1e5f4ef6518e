import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation, AllocationRequest } from '../../../ipam/allocate/allocation.ts';
import { formatCidr } from '../../../ipam/model/address.ts';
import type { Owner } from '../../../ipam/model/attachment.ts';
import { ruleOf } from '../../../ipam/model/holder.ts';
import type { ReleaseCause } from '../../../ipam/model/lifetime.ts';
import type { Rule } from '../../../ipam/model/rule.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { release } from '../../../ipam/release/release.ts';
import { rule } from '../../support/rule.ts';
import { DEL, owner, type World } from './world.ts';

/** What has an IPAM: the world, a node, an agent. */
interface WithIpam {
  readonly ipam: Ipam;
}

/** Returns the owner of a container of a pod of namespace `shop`. */
export const pod = (name: string, container = `c-${name}`, more: Partial<Owner> = {}): Owner =>
  owner(container, { podNamespace: 'shop', podName: name, podUid: `uid-${container}`, ...more });

/** Allocates an IPv4 address, or what the request asks for. */
export const give = (
  { ipam }: WithIpam,
  node: string,
  who: Owner,
  more: Partial<AllocationRequest> = {},
): Promise<Allocation[]> => allocate(ipam, { node, owner: who, families: [4], ...more });

/** Releases all that the owner has. */
export const end = (
  { ipam }: WithIpam,
  node: string,
  { containerId, ifname }: Owner,
  cause: ReleaseCause = DEL,
): Promise<string[]> => release(ipam, { node, attachment: { containerId, ifname }, cause });

/** Returns a rule whose pods keep their addresses. */
export const keeps = (name: string, more: Partial<Rule> = {}): Rule =>
  rule(name, { ranges: [], keep: {}, ...more });

/** Returns a rule whose pods, `<name>-*`, have blocks of their own. */
export const owns = (name: string, more: Partial<Rule> = {}): Rule =>
  rule(name, { pod: `${name}-*`, ranges: [], ownBlocks: true, ...more });

/** Returns the subnets of the rule's own blocks. */
export const ownedBy = (world: World, name: string): string[] =>
  world
    .blocks()
    .filter((block) => ruleOf(block) === name)
    .map(({ cidr }) => formatCidr(cidr));
