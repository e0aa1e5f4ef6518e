import { cidrSpan, parseAddress, spanContains, type Span } from '../model/address.ts';
import { nodeOf, usedSlots, type Block } from '../model/block.ts';
import { blockAt, blockPrefixLength, type Range } from '../model/range.ts';
import { blockKey as keyOfBlock, cidrOfBlockKey } from '../records/keys.ts';
import {
  addressKeyOf,
  blockBase,
  canonicalIp,
  parsePodIp,
  RangeFinder,
  SubnetSet,
  type AddressKey,
} from './address-key.ts';
import { AllocationTable, type Mark } from './allocation-table.ts';
import {
  canonicalPod,
  claimsAddresses,
  isSuperseded,
  podNameOf,
  stateOf,
  type AuditedAllocation,
  type AuditedPod,
  type SandboxFacts,
} from './judge.ts';
import { NodeAliases, type NodeAlias } from './node-alias.ts';
import type { OtherNetworks } from './other-networks.ts';

/** An allocation for which no living pod accounts, or whose pod has a newer sandbox. */
export interface Suspicion {
  readonly mark: Mark;
  /** The allocation of the newer sandbox, if the pod lives. */
  readonly supersededBy?: Mark;
}

/** A running pod that reports an address that the allocation table does not hold for it. */
export interface Claim {
  readonly ip: string;
  readonly pod: AuditedPod;
  /** Key of the block that would contain the address. */
  readonly blockKey: string;
}

/** A running pod that reports an address of no range. */
export interface Stray {
  readonly ip: string;
  readonly pod: AuditedPod;
}

/** One address that several running pods report. */
export interface Dispute {
  readonly ip: string;
  readonly pods: readonly AuditedPod[];
  /** The allocation of the address whose own pod reports it too. That pod is not in `pods`. */
  readonly holder?: Mark;
}

/**
 * Flags of an allocation while pods come in: a living pod accounts for it, and that pod reports the
 * address. They are separate because a dual-stack pod may report only one of its addresses.
 */
const LIVES = 1;
const CLAIMED = 2;

/**
 * Compares allocations with pods in one pass over each: first all blocks, then all pods. It keeps
 * only the suspicious pods. This is a single observation, so the caller must look again at what it
 * suspects.
 */
export class PodAudit {
  readonly #table = new AllocationTable();
  readonly #ranges: RangeFinder;
  /** Blocks that are unreadable or not sound. */
  readonly #opaque = new Set<string>();
  /** Addresses of those that are not of their range's block size. */
  readonly #opaqueSpans: Span[] = [];
  readonly unknown: AuditedAllocation[] = [];
  #opaqueAllocations = 0;
  #pods = 0;
  #hostPods = 0;
  #knowsPods = false;
  #states = new Uint8Array(0);
  #claims: Claim[] = [];
  #strays: Stray[] = [];
  #others: OtherNetworks | undefined;
  #opaqueSubnets = new SubnetSet([]);
  /** Addresses whose allocations name no pod, with the pods that report them. */
  #anonymousClaims = new Map<number, Dispute>();
  #superseded = new Map<number, number>();
  #aliases = new NodeAliases();

  constructor(ranges: readonly Range[]) {
    this.#ranges = new RangeFinder(ranges);
  }

  /** Number of allocated addresses. */
  get allocated(): number {
    return this.#table.size + this.#opaqueAllocations;
  }

  get pods(): number {
    return this.#pods;
  }

  /** Number of pods that use their host's network, and so have no address of ours. */
  get hostPods(): number {
    return this.#hostPods;
  }

  /** Number of reliable allocations that name a pod. */
  get named(): number {
    return this.#table.size - this.unknown.length;
  }

  /** Whether the API server has one of the pods that allocations name, in whatever state. */
  get knowsPods(): boolean {
    return this.#knowsPods;
  }

  get blocks(): AllocationTable['blocks'] {
    return this.#table.blocks;
  }

  addBlock(key: string, block: Block): void {
    this.#table.add(key, block);
    for (const { address, slot } of usedSlots(block)) {
      const { podUid, podNamespace, podName } = slot.owner;
      if (podUid !== undefined || (podNamespace !== undefined && podName !== undefined)) continue;
      this.unknown.push({ address, node: nodeOf(block, slot), range: block.range, blockKey: key, slot });
    }
  }

  /** Adds an unreliable block. Its allocations, and pods' addresses in it, count as in use. */
  addOpaque(key: string, block?: Block): void {
    this.#opaque.add(key);
    this.#coverAddresses(key);
    this.#opaqueAllocations += block ? usedSlots(block).length : 0;
  }

  /**
   * Lets the audit collect pods whose addresses are in no range, although another network did not
   * give them. The caller calls it after the blocks, and before the pods.
   */
  collectStrays(others: OtherNetworks): void {
    this.#others = others;
    this.#opaqueSubnets = new SubnetSet([...this.#opaque].flatMap((key) => cidrOfBlockKey(key) ?? []));
  }

  /** Starts the list of pods, for the first time or again. */
  restartPods(): void {
    this.#pods = 0;
    this.#hostPods = 0;
    this.#knowsPods = false;
    this.#states = new Uint8Array(this.#table.size);
    this.#claims = [];
    this.#strays = [];
    this.#anonymousClaims = new Map();
    this.#superseded = new Map();
    this.#aliases = new NodeAliases();
  }

  /** @throws IpamError `invalid` if the API server names something that is no IP address */
  addPod(pod: AuditedPod): void {
    this.#pods += 1;
    if (pod.hostNetwork) this.#hostPods += 1;
    const isAlive = stateOf(pod) === 'alive';
    if (!isAlive && this.#knowsPods) return;
    const uids = pod.configHash === undefined ? [pod.uid] : [pod.uid, pod.configHash];
    const rows = [...this.#table.rowsOf(uids, podNameOf(pod))];
    this.#knowsPods ||= rows.length > 0;
    if (!isAlive) return;
    for (const row of rows) this.#set(row, LIVES);
    if (claimsAddresses(pod)) {
      for (const ip of pod.podIPs) this.#claim(ip, pod, rows);
      if (rows.length > 1) this.#lookForSuperseded(rows);
    }
    // An allocation that names no UID may be of an earlier pod of the name, unless the pod reports
    // its address.
    for (const row of rows)
      if (this.#table.namesUid(row) || this.#has(row, CLAIMED))
        this.#aliases.add(this.#table.nodeOf(row), pod);
  }

  /** Yields suspected leaks, block by block. The caller calls it after the complete pod list. */
  *suspicions(): Iterable<Suspicion> {
    for (let row = 0; row < this.#table.size; row++) {
      const by = this.#superseded.get(row);
      if (by !== undefined) yield { mark: this.#table.markOf(row), supersededBy: this.#table.markOf(by) };
      else if (!this.#has(row, LIVES) && !this.#table.isAnonymous(row))
        yield { mark: this.#table.markOf(row) };
    }
  }

  get claims(): readonly Claim[] {
    return this.#claims;
  }

  get strays(): readonly Stray[] {
    return this.#strays;
  }

  get aliases(): readonly NodeAlias[] {
    return this.#aliases.all;
  }

  disputes(): Dispute[] {
    const byIp = new Map<string, Stray[]>();
    for (const claim of [...this.#claims, ...this.#strays])
      byIp.set(claim.ip, [...(byIp.get(claim.ip) ?? []), claim]);
    const disputes: Dispute[] = [...this.#anonymousClaims.values()].filter(({ pods }) => pods.length > 1);
    for (const [ip, claims] of byIp) {
      const row = this.#rowAt(parsePodIp(ip));
      const isHeld = row !== undefined && this.#has(row, CLAIMED);
      const pods = claims.map(({ pod }) => pod);
      if (isHeld) disputes.push({ ip, pods, holder: this.#table.markOf(row) });
      else if (pods.length > 1) disputes.push({ ip, pods });
    }
    return disputes;
  }

  /** The key may name another range, size or boundary than those of the blocks there. */
  #coverAddresses(key: string): void {
    const cidr = cidrOfBlockKey(key);
    if (!cidr) return;
    const range = this.#ranges.find(addressKeyOf(cidr.base));
    if (range && blockPrefixLength(range) === cidr.prefixLength)
      this.#opaque.add(keyOfBlock(range.name, cidr));
    else this.#opaqueSpans.push(cidrSpan(cidr));
  }

  #claim(ip: string, pod: AuditedPod, own: readonly number[]): void {
    const place = parsePodIp(ip);
    const range = this.#ranges.find(place);
    if (!range) {
      if (this.#others?.gave(place, pod.nodeName) === false && !this.#opaqueSubnets.has(place))
        this.#strays.push(kept(ip, pod));
      return;
    }
    const row = this.#table.rowAt(blockBase(place, range.blockSize), place);
    if (row === undefined) {
      const address = parseAddress(ip);
      const key = keyOfBlock(range.name, blockAt(range, address));
      const isOpaque = this.#opaque.has(key) || this.#opaqueSpans.some((span) => spanContains(span, address));
      if (!isOpaque) this.#claims.push({ ...kept(ip, pod), blockKey: key });
    } else if (own.includes(row)) this.#set(row, CLAIMED);
    else if (this.#table.isAnonymous(row)) {
      const { ip: text, pod: claimant } = kept(ip, pod);
      const before = this.#anonymousClaims.get(row)?.pods ?? [];
      this.#anonymousClaims.set(row, { ip: text, pods: [...before, claimant] });
    } else this.#claims.push({ ...kept(ip, pod), blockKey: this.#table.blockOf(row).key });
  }

  #lookForSuperseded(rows: readonly number[]): void {
    for (const older of rows) {
      const by = rows.find((newer) => isSuperseded(this.#factsOf(older), this.#factsOf(newer)));
      if (by !== undefined) this.#superseded.set(older, by);
    }
  }

  #factsOf(row: number): SandboxFacts {
    const { family } = this.#table.blockOf(row);
    const claimed = this.#has(row, CLAIMED);
    return {
      ...this.#table.markOf(row),
      networkInterface: this.#table.interfaceOf(row),
      node: this.#table.nodeOf(row),
      family,
      claimed,
    };
  }

  #has(row: number, bit: number): boolean {
    return ((this.#states[row] ?? 0) & bit) !== 0;
  }

  #set(row: number, bit: number): void {
    this.#states[row] = (this.#states[row] ?? 0) | bit;
  }

  #rowAt(place: AddressKey): number | undefined {
    const range = this.#ranges.find(place);
    return range && this.#table.rowAt(blockBase(place, range.blockSize), place);
  }
}

/** Returns what is kept of a pod: its addresses in canonical text. */
function kept(ip: string, pod: AuditedPod): { ip: string; pod: AuditedPod } {
  return { ip: canonicalIp(ip), pod: canonicalPod(pod) };
}
