import type { Address } from '../../ipam/model/address.ts';
import type { EndpointSlice } from '../kube/endpoint-slice.ts';
import type { KubeService } from '../kube/service.ts';
import { AddressUsers } from './address-users.ts';
import type { NodePlace } from './choose-endpoints.ts';
import { Claimants, type Change } from './claimants.ts';
import { claimsOf, NO_CLAIMS } from './claims.ts';
import { clusterAddresses, countEndpoints, emptyEntry, NO_FRONTENDS, type Entry } from './entry.ts';
import { NOTHING_FORBIDDEN, rulesOf, sameForbidden, type Forbidden } from './forbidden.ts';
import type { Frontend } from './frontend.ts';
import { readSlice, refusedEndpoints } from './known-slice.ts';
import { bounded, type Refusal } from './refusal.ts';
import { frontendsOf, type Seen } from './service-frontends.ts';
import { viewOf, type ServiceView } from './service-view.ts';

export interface Counts {
  /** Services that have a virtual address. */
  readonly services: number;
  readonly slices: number;
  readonly frontends: number;
  /** Each counted for its Service. */
  readonly endpoints: number;
}

/**
 * What this node's bridges do with the cluster's Services. Events come in, in any order; a change
 * costs what the Services that it touches cost. All keys have the form `namespace/name`.
 */
export class ServiceTable {
  readonly #entries = new Map<string, Entry>();
  /** By the key of each EndpointSlice: its Service. */
  readonly #serviceOf = new Map<string, string>();
  readonly #claimants = new Claimants();
  readonly #clusterAddresses = new AddressUsers();
  readonly #endpointAddresses = new AddressUsers();
  /** Those of each Service, without the claims that others won. */
  readonly #refusals = new Map<string, readonly Refusal[]>();
  /** Services whose claims, or whose endpoints only, are to be computed. */
  readonly #claimsDue = new Set<string>();
  readonly #endpointsDue = new Set<string>();
  #node: NodePlace = { nodeName: '', zone: undefined };
  #forbidden = NOTHING_FORBIDDEN;
  #rules = rulesOf(NOTHING_FORBIDDEN);

  putService(key: string, service: KubeService): void {
    this.#entryOf(key).service = service;
    this.#claimsDue.add(key);
  }

  removeService(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry?.service) return;
    entry.service = undefined;
    this.#claimsDue.add(key);
  }

  putSlice(key: string, slice: EndpointSlice): void {
    this.removeSlice(key);
    if (slice.service === undefined) return;
    const service = `${slice.namespace}/${slice.service}`;
    const known = readSlice(key, slice);
    this.#serviceOf.set(key, service);
    this.#entryOf(service).slices.set(key, known);
    for (const address of known.addresses) if (address) this.#endpointAddresses.add(address, service);
    this.#endpointsDue.add(service);
  }

  removeSlice(key: string): void {
    const service = this.#serviceOf.get(key);
    if (service === undefined) return;
    this.#serviceOf.delete(key);
    const slices = this.#entryOf(service).slices;
    for (const address of slices.get(key)?.addresses ?? [])
      if (address) this.#endpointAddresses.remove(address, service);
    slices.delete(key);
    this.#endpointsDue.add(service);
  }

  replaceServices(services: ReadonlyMap<string, KubeService>): void {
    for (const key of this.#entries.keys()) if (!services.has(key)) this.removeService(key);
    for (const [key, service] of services) this.putService(key, service);
  }

  replaceSlices(slices: ReadonlyMap<string, EndpointSlice>): void {
    for (const key of this.#serviceOf.keys()) if (!slices.has(key)) this.removeSlice(key);
    for (const [key, slice] of slices) this.putSlice(key, slice);
  }

  setNode(node: NodePlace): void {
    if (node.nodeName === this.#node.nodeName && node.zone === this.#node.zone) return;
    this.#node = node;
    for (const key of this.#entries.keys()) this.#endpointsDue.add(key);
  }

  setForbidden(forbidden: Forbidden): void {
    if (sameForbidden(forbidden, this.#forbidden)) return;
    this.#forbidden = forbidden;
    this.#rules = rulesOf(forbidden);
    for (const key of this.#entries.keys()) this.#claimsDue.add(key);
  }

  /** Returns what changed since the last call. */
  take(): Change {
    this.#settle();
    return this.#claimants.take();
  }

  /** Returns everything that is served, by key, whether it was taken or not. */
  all(): Iterable<readonly [string, Frontend]> {
    this.#settle();
    return this.#claimants.all();
  }

  refused(): readonly Refusal[] {
    this.#settle();
    return [...this.#refusals.values(), this.#claimants.losers()].flat();
  }

  counts(): Counts {
    this.#settle();
    const entries = [...this.#entries.values()];
    return {
      services: entries.filter(({ frontends }) => frontends.size > 0).length,
      slices: this.#serviceOf.size,
      frontends: this.#claimants.size,
      endpoints: entries.reduce((sum, { endpoints }) => sum + endpoints, 0),
    };
  }

  /** Returns the names of all Services. */
  names(): string[] {
    return [...this.#entries].flatMap(([name, { service }]) => (service ? [name] : []));
  }

  /** @param name `namespace/name`; @returns undefined if there is no such Service */
  find(name: string): ServiceView | undefined {
    this.#settle();
    const entry = this.#entries.get(name);
    const seen = entry && this.#seen(name, entry);
    if (!seen) return undefined;
    const lost = this.#claimants.losers().filter(({ service }) => service === name);
    const refusals = [...(this.#refusals.get(name) ?? []), ...lost];
    return viewOf(seen, entry.frontends, (key) => this.#claimants.served(key), refusals);
  }

  #entryOf(name: string): Entry {
    const known = this.#entries.get(name);
    if (known) return known;
    const entry = emptyEntry();
    this.#entries.set(name, entry);
    return entry;
  }

  #seen(name: string, { service, slices }: Entry): Seen | undefined {
    if (!service) return undefined;
    const sorted = [...slices.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    return { name, service, slices: sorted, node: this.#node, isCluster: this.#isCluster };
  }

  readonly #isCluster = (address: Address): boolean => this.#clusterAddresses.has(address);

  /** Cluster addresses come first: they are no endpoints, of whatever Service. */
  #settle(): void {
    for (const key of this.#claimsDue) this.#settleClaims(key);
    for (const key of new Set([...this.#claimsDue, ...this.#endpointsDue])) this.#settleFrontends(key);
    this.#claimsDue.clear();
    this.#endpointsDue.clear();
  }

  #settleClaims(key: string): void {
    const entry = this.#entryOf(key);
    const former = clusterAddresses(entry);
    entry.claims = entry.service ? claimsOf(key, entry.service, this.#rules) : NO_CLAIMS;
    const next = clusterAddresses(entry);
    const changed = [
      ...next.filter((address) => this.#clusterAddresses.add(address, key)),
      ...former.filter((address) => this.#clusterAddresses.remove(address, key)),
    ];
    for (const address of changed)
      for (const user of this.#endpointAddresses.of(address)) this.#endpointsDue.add(user);
  }

  #settleFrontends(key: string): void {
    const entry = this.#entryOf(key);
    const seen = this.#seen(key, entry);
    const { claims, refusals } = entry.claims;
    const next = seen ? frontendsOf(seen, claims) : NO_FRONTENDS;
    entry.frontends = this.#claimants.replace(entry.frontends, next);
    entry.endpoints = countEndpoints(entry.frontends);
    const unusable = seen && claims.length > 0 ? refusedEndpoints(key, seen.slices, seen.isCluster) : [];
    this.#refusals.delete(key);
    if (refusals.length + unusable.length > 0) this.#refusals.set(key, bounded([...refusals, ...unusable]));
    if (!entry.service && entry.slices.size === 0) this.#entries.delete(key);
  }
}
