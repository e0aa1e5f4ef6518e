import { isDeepStrictEqual } from 'node:util';
import type { Batch, Flow, Meter, Modification } from '../openflow/program.ts';
import { frontendKey, type Frontend, type FrontendPlace } from '../services/frontend.ts';
import { Changes } from './changes.ts';
import { NOTHING_FORMER, type Former, type FormerFrontend } from './former.ts';
import { fixedFlows, refusalMeter } from './fixed-flows.ts';
import { GroupNumbers } from './group-numbers.ts';
import type { LocalPod } from './local-pod.ts';
import { UDP } from './match.ts';
import { podFlows, podMeters } from './pod-flows.ts';
import { RangeMap } from './range-map.ts';
import { rangeFlows, type RangePlace } from './range-flows.ts';
import { leavingEndpoint, leavingFrontend, serviceProgram } from './service-flows.ts';
import { endpointKey, replyKey, sharedFlows, type SharedFlow } from './shared-flows.ts';
import { Uses } from './uses.ts';
import { everything, only, put, replaced, served, type Served } from './whole.ts';

/** Connections whose endpoint went, of a protocol that does not notice (UDP). */
export interface Gone {
  /** Absent: those of all frontends. */
  readonly frontend?: FrontendPlace;
  readonly endpoint: FrontendPlace;
}

/** What is to be sent to bring the bridge up to date. */
export interface Update {
  /** Meters that the changes need. They come first, since no bundle can hold them. */
  readonly meters: readonly Meter[];
  readonly changes: Batch;
  /** Whether these are all flows and groups, in place of what is there. */
  readonly isWhole: boolean;
  /** How many more flows there are afterwards, if these are not all, without those that expire. */
  readonly grown: number;
  /** Meters that nothing needs once the changes are in place. */
  readonly unused: readonly number[];
  /** Connections to flush once the changes are in place. */
  readonly gone: readonly Gone[];
}

/**
 * What one bridge is to do, and what of it changed since it was last sent. Pure: pods, ranges and
 * frontends come in, flows and groups go out.
 */
export class Program {
  readonly #services: boolean;
  readonly #pods = new Map<string, LocalPod>();
  #ranges: readonly RangePlace[] = [];
  readonly #served = new Map<string, Served>();
  readonly #groups = new GroupNumbers();
  /** Flows that several frontends need. */
  readonly #replies = new Uses();
  readonly #fragments = new Uses();
  readonly #clusterAddresses = new Uses();
  readonly #macs = new Uses();
  readonly #changes = new Changes();
  rangeMap = new RangeMap([]);
  #gone: Gone[] = [];
  #meters: Meter[] = [];
  #unused: number[] = [];
  /** Whether all is to be sent: nobody knows what is there. */
  #fromScratch = true;

  /** @param services whether the bridge serves Services; otherwise it only limits pods */
  constructor(services = true) {
    this.#services = services;
  }

  /** @returns whether anything changed */
  setPods(pods: readonly LocalPod[]): boolean {
    const wanted = new Map(pods.map((pod) => [pod.port, pod]));
    const gone = [...this.#pods.values()].filter((pod) => !isSame(pod, wanted.get(pod.port)));
    const came = pods.filter((pod) => !isSame(pod, this.#pods.get(pod.port)));
    if (gone.length + came.length === 0) return false;
    const touched = new Set([...gone, ...came].flatMap(placesOf));
    const flows = (): Flow[] => this.#podsAt(touched).flatMap(this.#flowsOf);
    const before = flows();
    for (const { port } of gone) this.#pods.delete(port);
    for (const pod of came) this.#pods.set(pod.port, pod);
    this.#flows(before, flows());
    this.#meters.push(...came.flatMap(podMeters));
    this.#unused.push(...gone.flatMap(podMeters).map(({ id }) => id));
    return true;
  }

  #podsAt(places: ReadonlySet<bigint>): LocalPod[] {
    return this.#podsInTurn().filter((pod) => placesOf(pod).some((place) => places.has(place)));
  }

  /**
   * Two pods may have one address for a moment: a port is made with an address that etcd then gives
   * to another pod. Of flows in one place the last counts: that of the lower port, mostly the older
   * one.
   */
  #podsInTurn(): LocalPod[] {
    return [...this.#pods.values()].sort((a, b) => b.ofport - a.ofport);
  }

  /** @returns whether the pod was there */
  removePod(port: string): boolean {
    return this.setPods([...this.#pods.values()].filter((pod) => pod.port !== port));
  }

  /** @returns whether anything changed */
  setRanges(ranges: readonly RangePlace[]): boolean {
    if (isDeepStrictEqual(ranges, this.#ranges)) return false;
    this.#ranges = ranges;
    this.rangeMap = new RangeMap(ranges);
    // Which endpoints are pods may be another answer for each frontend. Ranges change rarely.
    this.#fromScratch = true;
    return true;
  }

  /** @param after undefined: it is gone */
  setFrontend(key: string, after: Frontend | undefined): void {
    const before = this.#served.get(key);
    if (!before && !after) return;
    const group = before?.group ?? this.#groups.take();
    if (!this.#fromScratch) this.#change(before?.frontend, after, group);
    this.#count(before?.frontend, after);
    if (after) this.#served.set(key, { frontend: after, group });
    else {
      this.#served.delete(key);
      this.#groups.giveBack(group);
    }
  }

  readonly #flowsOf = (pod: LocalPod): Flow[] => podFlows(pod, this.#services);

  #change(before: Frontend | undefined, after: Frontend | undefined, group: number): void {
    const [old, now] = [before, after].map(
      (frontend) => frontend && serviceProgram(frontend, group, this.rangeMap),
    );
    this.#flows(old?.flows ?? [], now?.flows ?? (before ? leavingOf(before) : []));
    if (!isDeepStrictEqual(old?.group, now?.group)) this.#changes.group(group, now?.group);
  }

  get pods(): ReadonlyMap<string, LocalPod> {
    return this.#pods;
  }

  /** Numbers of the groups that are to be there. */
  groups(): ReadonlySet<number> {
    return new Set(
      [...this.#served.values()]
        .filter(({ frontend }) => frontend.endpoints.length > 0)
        .map(({ group }) => group),
    );
  }

  /** From now on nobody knows what the bridge does. The next update brings everything. */
  forget(): void {
    this.#fromScratch = true;
    this.#changes.clear();
  }

  /**
   * Returns what changed since the last call. The caller calls `forget` if it cannot be sent.
   * @param services false as long as nobody knows all Services: what the bridge does with them
   *   stays as it is, and only the node's own flows are sent
   * @param former what the bridge has, if nobody knows what is there
   */
  take(services = true, former: Former = NOTHING_FORMER): Update {
    const [gone, meters, unused] = [this.#gone, this.#meters, this.#unusedNow()];
    this.#gone = [];
    this.#meters = [];
    this.#unused = [];
    if (!this.#fromScratch) {
      const grown = this.#changes.takeGrown();
      return { meters, changes: this.#changes.take(), isWhole: false, grown, unused, gone };
    }
    this.#changes.clear();
    const whole = { meters: this.meters(), isWhole: true, grown: 0, unused };
    if (!services) return { ...whole, changes: [...this.#ofNode()], gone: [] };
    this.#fromScratch = false;
    const endpoints = former.endpoints.filter((place) => !this.#replies.has(replyKey(place)));
    const left = [
      ...this.#notServed(former).flatMap(leavingFrontend),
      ...endpoints.filter(({ protocol }) => protocol !== UDP).map(leavingEndpoint),
    ];
    const ofUdp = endpoints.filter(({ protocol }) => protocol === UDP);
    return {
      ...whole,
      changes: everything([...this.#served.values()], this.rangeMap, [...left.map(put), ...this.#ofNode()]),
      gone: [...gone, ...ofUdp.map((endpoint) => ({ endpoint }))],
    };
  }

  #notServed({ frontends }: Former): FormerFrontend[] {
    if (frontends.length === 0) return [];
    const served = new Set([...this.#served.values()].map(({ frontend }) => frontendKey(frontend)));
    return frontends.filter((place) => place.protocol !== UDP && !served.has(frontendKey(place)));
  }

  /** Whether the next update brings everything. */
  get isFromScratch(): boolean {
    return this.#fromScratch;
  }

  /** A pod that came since may need the meter of one that went. */
  #unusedNow(): number[] {
    if (this.#unused.length === 0) return [];
    const needed = new Set(this.meters().map(({ id }) => id));
    return this.#unused.filter((id) => !needed.has(id));
  }

  /** Returns all meters. */
  meters(): Meter[] {
    const ofPods = [...this.#pods.values()].flatMap(podMeters);
    return this.#services ? [refusalMeter, ...ofPods] : ofPods;
  }

  /** Returns all flows. */
  *flows(): Generator<Flow> {
    yield* this.#nodeFlows();
    for (const { flows, shared } of served(this.#served.values(), this.rangeMap))
      yield* [...flows, ...shared];
  }

  #nodeFlows(): Flow[] {
    return [
      ...fixedFlows(this.#services),
      ...(this.#services ? this.#ranges.flatMap(rangeFlows) : []),
      ...this.#podsInTurn().flatMap(this.#flowsOf),
    ];
  }

  #ofNode(): Modification[] {
    return [...replaced('fixed'), ...replaced('pod'), ...this.#nodeFlows().map(put)];
  }

  #flows(before: readonly Flow[], after: readonly Flow[]): void {
    if (!this.#fromScratch) this.#changes.flows(before, after);
  }

  /** Counts the flows that frontends share; the first use puts one in place, the last takes it. */
  #count(before: Frontend | undefined, after: Frontend | undefined): void {
    for (const { key, flow, uses } of after ? this.#sharedOf(after) : [])
      if (uses.add(key)) this.#flows([], only(flow()));
    for (const { key, flow, afterwards, uses } of before ? this.#sharedOf(before) : [])
      if (uses.remove(key)) this.#flows(only(flow()), only(afterwards?.()));
    if (before?.protocol !== UDP) return;
    const stays = new Set(after?.endpoints.map(endpointKey));
    const left = before.endpoints.filter((endpoint) => !stays.has(endpointKey(endpoint)));
    const { protocol } = before;
    this.#gone.push(...left.map((endpoint) => ({ frontend: before, endpoint: { ...endpoint, protocol } })));
  }

  #sharedOf(frontend: Frontend): (SharedFlow & { readonly uses: Uses })[] {
    const uses = {
      ...{ reply: this.#replies, fragment: this.#fragments, address: this.#clusterAddresses },
      mac: this.#macs,
    };
    return sharedFlows(frontend, this.rangeMap).map((shared) => ({ ...shared, uses: uses[shared.kind] }));
  }
}

const leavingOf = (frontend: Frontend): Flow[] =>
  frontend.protocol === UDP ? [] : leavingFrontend({ ...frontend, isCluster: frontend.kind === 'cluster' });

/** What the flows of a pod are for: its MAC and its addresses. */
const placesOf = ({ mac, addresses }: LocalPod): bigint[] => [mac, ...addresses.map(({ value }) => value)];

/** The callers hand in the same object as long as nothing changes. */
const isSame = (a: LocalPod, b: LocalPod | undefined): boolean => a === b || isDeepStrictEqual(a, b);
