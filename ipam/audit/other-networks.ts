import { parseAddressInSubnet, subnetOf, type Cidr } from '../model/address.ts';
import { canonicalNodeName } from '../model/node-name.ts';
import { SubnetSet, type AddressKey } from './address-key.ts';

/** A node with the subnets that Kubernetes assigned for its pods. */
export interface NodeSubnets {
  readonly name: string;
  /** In CIDR notation; host bits may be set. */
  readonly podCIDRs?: readonly string[];
}

/**
 * Recognises addresses of pods that another network gave: those of subnets that the operator names,
 * and those that host-local gives out of the subnet of the pod's own node. The subnet of another
 * node proves nothing: it may lie in one of our ranges.
 */
export class OtherNetworks {
  readonly #subnets: SubnetSet;
  readonly #byNode: ReadonlyMap<string, SubnetSet>;

  /** @throws IpamError `invalid` for a subnet of a node that is none */
  constructor(subnets: readonly Cidr[], nodes: readonly NodeSubnets[]) {
    this.#subnets = new SubnetSet(subnets);
    this.#byNode = new Map(
      nodes.flatMap(({ name, podCIDRs }) =>
        podCIDRs ? [[canonicalNodeName(name), new SubnetSet(podCIDRs.map(parsePodCidr))] as const] : [],
      ),
    );
  }

  /** @param node on which the pod runs */
  gave(place: AddressKey, node: string | undefined): boolean {
    if (this.#subnets.has(place)) return true;
    return node !== undefined && this.#byNode.get(canonicalNodeName(node))?.has(place) === true;
  }
}

function parsePodCidr(text: string): Cidr {
  const { address, prefixLength } = parseAddressInSubnet(text, 'podCIDR of a node');
  return subnetOf(address, prefixLength);
}
