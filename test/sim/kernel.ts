import { constants } from 'node:os';
import { NamespaceError, NetlinkError } from '../../cni/netlink/errors.ts';
import type {
  HostEnd,
  HostLink,
  Kernel,
  Namespace,
  Namespaces,
  PodInterfaceSpec,
  VethSpec,
} from '../../cni/platform/platform.ts';
import type { CniRoute } from '../../cni/protocol/result.ts';
import type { Carrier, Living } from './living.ts';
import type { Process } from './process.ts';

/** A pod's network namespace. */
export interface SimNamespace {
  readonly path: string;
  readonly id: string;
  readonly containerId: string;
  readonly interfaces: Map<string, PodEnd>;
}

/** A veth's end in a pod. */
interface PodEnd {
  readonly namespace: SimNamespace;
  readonly carrier: Carrier;
  mac: string;
  mtu: number;
  up: boolean;
  addresses: readonly string[];
  routes: readonly CniRoute[];
}

/** A veth, seen from the host. */
export interface SimLink {
  readonly name: string;
  alias: string;
  readonly mac: string;
  readonly mtu: number;
  readonly end: PodEnd;
  /** Whether vswitchd has taken this very link. */
  taken: boolean;
}

/** Usual times of the kernel's work, in milliseconds. */
const LATENCY_MS = { make: 0.5, remove: 15, look: 0.2, configure: 2, announce: 5 };

/** The links and network namespaces of one machine. They do not survive its boot. */
export class SimKernel {
  readonly links = new Map<string, SimLink>();
  readonly namespaces = new Map<string, SimNamespace>();
  #made = 0;
  readonly #machine: string;
  readonly #bridge: string;
  readonly #living: Living;
  readonly #onDeleted: (carrier: Carrier) => void;

  /** @param onDeleted called when a program deletes a link */
  constructor(machine: string, bridge: string, living: Living, onDeleted: (carrier: Carrier) => void) {
    this.#machine = machine;
    this.#bridge = bridge;
    this.#living = living;
    this.#onDeleted = onDeleted;
  }

  /** The kernel gives a new namespace the lowest inode number that is free (ida_alloc). */
  addNamespace(path: string, containerId: string): SimNamespace {
    const taken = new Set([...this.namespaces.values()].map(({ id }) => id));
    let inode = 1;
    while (taken.has(`4:${inode}`)) inode++;
    const namespace = { path, id: `4:${inode}`, containerId, interfaces: new Map<string, PodEnd>() };
    this.namespaces.set(path, namespace);
    return namespace;
  }

  /** Ends a namespace and every link into it. */
  removeNamespace({ path, id }: SimNamespace): void {
    if (this.namespaces.get(path)?.id !== id) return;
    this.namespaces.delete(path);
    for (const link of this.links.values()) if (link.end.namespace.id === id) this.#remove(link);
  }

  /** Ends everything, as at the machine's end. */
  clear(): void {
    for (const namespace of [...this.namespaces.values()]) this.removeNamespace(namespace);
  }

  /** Namespaces as a program sees them from outside. */
  namespacesFor(process: Process): Namespaces {
    return {
      identify: (path) => {
        process.mustStep();
        return this.namespaces.get(path)?.id;
      },
      stateOf: (path, id, thorough) => {
        process.mustStep();
        if (this.namespaces.get(path)?.id === id) return 'lives';
        const elsewhere = thorough && [...this.namespaces.values()].some((each) => each.id === id);
        return elsewhere ? 'lives' : 'gone';
      },
    };
  }

  /** The kernel as a program uses it. */
  for(process: Process): Kernel {
    return {
      openNamespace: (path) => {
        process.mustStep();
        this.#namespaceAt(path);
        return { path, close: () => undefined };
      },
      newNamespace: () => {
        process.mustStep();
        const path = `/new/${++this.#made}`;
        const namespace = this.addNamespace(path, path);
        return { path, close: () => this.removeNamespace(namespace) };
      },
      isHostNamespace: () => false,
      hostLink: (name) => process.act(LATENCY_MS.look, () => this.#look(name)),
      hostLinks: () =>
        process.act(LATENCY_MS.look, () =>
          [this.#bridge, ...this.links.keys()].flatMap((name) => this.#look(name) ?? []),
        ),
      createVeth: (spec) => process.act(LATENCY_MS.make, () => this.#create(process, spec)),
      deleteLink: (name, alias) =>
        process.act(LATENCY_MS.remove, () => {
          const link = this.links.get(name);
          if (!link) return 'absent';
          if (link.alias !== '' && link.alias !== alias) return 'not-ours';
          this.#remove(link);
          this.#onDeleted(link.end.carrier);
          return 'deleted';
        }),
      prepare: (namespace, spec) => {
        process.mustStep();
        const end = this.#endIn(namespace, spec.ifname);
        return {
          bringUp: () => process.act(LATENCY_MS.configure, () => this.#bringUp(end, spec)),
          announce: () => process.act(LATENCY_MS.announce, () => undefined),
        };
      },
      clearAddresses: (namespace, ifname) =>
        process.act(LATENCY_MS.configure, () => {
          const end = this.#namespaceAt(namespace.path).interfaces.get(ifname);
          if (!end) return;
          this.#unbind(end);
          Object.assign(end, { addresses: [], routes: [] });
        }),
      probe: (_, ifname, addresses) =>
        process.act(LATENCY_MS.announce, () => {
          const address = addresses.find((each) => this.#living.carriersOf(each).length > 0);
          return address === undefined ? undefined : { address, mac: `of ${ifname}` };
        }),
      inspect: (namespace, ifname) =>
        process.act(LATENCY_MS.look, () => {
          const end = this.#namespaceAt(namespace.path).interfaces.get(ifname);
          return end && { ...end, leadsElsewhere: () => false };
        }),
    };
  }

  #namespaceAt(path: string): SimNamespace {
    const namespace = this.namespaces.get(path);
    if (namespace) return namespace;
    throw new NamespaceError('missing', path, `network namespace ${path} does not exist`);
  }

  #endIn({ path }: Namespace, ifname: string): PodEnd {
    const end = this.#namespaceAt(path).interfaces.get(ifname);
    if (end) return end;
    throw new NetlinkError(constants.errno.ENODEV, `look at ${ifname}`);
  }

  #look(name: string): HostLink | undefined {
    if (name === this.#bridge)
      return { name, alias: '', mac: '', mtu: 1500, up: true, taken: false, carrier: true };
    const link = this.links.get(name);
    if (!link) return undefined;
    const { alias, mac, mtu, taken, end } = link;
    return { name, alias, mac, mtu, taken, up: true, carrier: end.up };
  }

  #create(process: Process, spec: VethSpec): HostEnd {
    const { hostName, podName: ifname, mac, mtu } = spec;
    const namespace = this.#namespaceAt(spec.namespace.path);
    if (this.links.has(hostName) || namespace.interfaces.has(ifname))
      throw new NetlinkError(constants.errno.EEXIST, `make link ${hostName}`);
    const { containerId } = namespace;
    const carrier = { machine: this.#machine, containerId, ifname };
    const end: PodEnd = { namespace, carrier, mac, mtu, up: false, addresses: [], routes: [] };
    const link: SimLink = { name: hostName, alias: '', mac: `host of ${mac}`, mtu, end, taken: false };
    this.links.set(hostName, link);
    namespace.interfaces.set(ifname, end);
    return {
      mark: () =>
        process.act(LATENCY_MS.look, () => {
          const found = this.#look(hostName);
          if (!found || this.links.get(hostName) !== link)
            throw new NetlinkError(constants.errno.ENODEV, `mark link ${hostName}`);
          link.alias = spec.alias;
          return { ...found, alias: spec.alias };
        }),
    };
  }

  #bringUp(end: PodEnd, { ifname, addresses, routes }: PodInterfaceSpec): readonly CniRoute[] {
    if (end.namespace.interfaces.get(ifname) !== end)
      throw new NetlinkError(constants.errno.ENODEV, `bring up ${ifname}`);
    this.#unbind(end);
    Object.assign(end, { up: true, addresses, routes });
    for (const address of addresses) this.#living.add(withoutLength(address), end.carrier);
    return routes;
  }

  #remove(link: SimLink): void {
    this.links.delete(link.name);
    link.end.namespace.interfaces.delete(link.end.carrier.ifname);
    this.#unbind(link.end);
    link.end.up = false;
  }

  #unbind({ addresses, carrier }: PodEnd): void {
    for (const address of addresses) this.#living.remove(withoutLength(address), carrier);
  }
}

const withoutLength = (address: string): string => address.split('/')[0] ?? address;
