import type { Attachment } from '../../ipam/model/attachment.ts';

/** The fields of an allocation in etcd that the verdict depends on. */
export interface JudgedAllocation {
  readonly bootId: string;
  /** Milliseconds since 1970. */
  readonly allocatedAt: number;
  /** Whether this machine's own disk shows that it ran in that boot. */
  readonly isTraced: boolean;
  /** Whether a check has found its pod gone, and left it to this node to clear it away. */
  readonly isCondemned: boolean;
}

/** What the node and etcd show about one attachment. */
export interface Facts extends Attachment {
  readonly allocations: readonly JudgedAllocation[];
  /**
   * Whether every place in etcd that could hold an allocation of it was read. Otherwise the lack of
   * an allocation proves nothing.
   */
  readonly allocationsKnown: boolean;
  /**
   * False when its node name belongs to another machine. This disk may then be a copy of that
   * machine's, and record and port the other's.
   */
  readonly ownsName: boolean;
  /** The veth's host end. `idle`: one of the ends is not up, so no ADD has finished it. */
  readonly link: 'absent' | 'idle' | 'carrier';
  /**
   * The port with cellnet's external_ids. `elsewhere`: its bridge's device is not among the links,
   * so a missing port device proves nothing; or the port's name is not the one that cellnet gives.
   * `unknown`: Open vSwitch did not answer. Whether vswitchd has the device open is no evidence:
   * the userspace datapath does not notice its removal.
   */
  readonly port: 'absent' | 'present' | 'elsewhere' | 'unknown';
  /** How the port differs from the one that the ADD made. Absent: it does not, or nobody knows. */
  readonly portFault?: PortFault | undefined;
  readonly record: RecordFacts | undefined;
  /** The pod's network namespace. `unknown`: no record names it. */
  readonly namespace: 'lives' | 'gone' | 'unknown';
}

export interface RecordFacts {
  /** Undefined in records from versions before reconcile existed. */
  readonly bootId: string | undefined;
  /** Whether cellnet-ipam allocated its addresses. */
  readonly ourIpam: boolean;
  /** Whether cellnet made its link and port; otherwise another main plugin made the interface. */
  readonly ourInterface: boolean;
  /** Whether the record names the addresses. Versions that did not keep them left it out. */
  readonly namesAddresses: boolean;
}

export interface Boot {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

/** The reasons why a gone attachment has remains. */
export const REMAINS = [
  /** A check found the pod gone, although its interface may still be up. */
  'condemned',
  /** The node allocated its addresses in an earlier boot. */
  'node-rebooted',
  /** The pod's namespace and cellnet's link are gone. */
  'namespace-gone',
  /** cellnet's link is gone, so the pod has no address. No record names the namespace. */
  'link-gone',
  /** The device of cellnet's port is gone, and the attachment has no allocation. */
  'port-without-device',
  /** An ADD was killed before it finished the link, and the attachment has no allocation. */
  'link-without-allocation',
  /** Only cellnet's record is left. */
  'record-left',
] as const;
export type RemainsReason = (typeof REMAINS)[number];

/** Findings that only an operator can resolve: nothing proves that they are leaks. */
export const ODDITIES = [
  /** A check found the pod gone, but the interface is not cellnet's to end. */
  'condemned-not-ours',
  /** The pod's namespace lives, but cellnet's link is gone: the pod is cut off. */
  'no-link',
  /** The pod uses its interface without an allocation: forced release, or etcd was restored. */
  'no-allocation',
  /** Allocated in another boot after this one began: shared node name, or a clock set back. */
  'other-boot',
  /** No record, link or port shows its state: it counts as in use. */
  'unproven',
] as const;
export type OddReason = (typeof ODDITIES)[number];

/** What is wrong with the port of a living attachment. Reconcile makes it again. */
export const PORT_FAULTS = [
  /** Somebody removed the port, its bridge, or Open vSwitch's database. The pod is cut off. */
  'no-port',
  /** The port is on another bridge than the ADD put it on. */
  'port-moved',
  /** The port's VLANs, or the marks that its ADD gave it, are others. */
  'port-changed',
] as const;
export type PortFault = (typeof PORT_FAULTS)[number];

export type Verdict =
  | { readonly kind: 'lives' }
  /** Reconcile clears the attachment: at once, or when two observations agree. */
  | { readonly kind: 'remains'; readonly reason: RemainsReason; readonly atOnce: boolean }
  | { readonly kind: 'odd'; readonly reason: OddReason }
  /** The attachment lives, and reconcile makes its port again. */
  | { readonly kind: 'broken'; readonly reason: PortFault };

const LIVES: Verdict = { kind: 'lives' };
const odd = (reason: OddReason): Verdict => ({ kind: 'odd', reason });
const remains = (reason: RemainsReason, atOnce = false): Verdict => ({ kind: 'remains', reason, atOnce });

/**
 * Judges one observation. An attachment lives unless something proves it gone (rule 6). What may be
 * a copy of another machine's proves nothing.
 */
export function judge(facts: Facts, boot: Boot): Verdict {
  if (!facts.ownsName) return LIVES;
  if (facts.allocations.some(({ isCondemned }) => isCondemned)) return judgeCondemned(facts, boot);
  return judgeUncondemned(facts, boot);
}

/**
 * What the cluster has condemned goes, once its interface is ended. An interface of another main
 * plugin must have ended by itself.
 */
function judgeCondemned(facts: Facts, boot: Boot): Verdict {
  const { port, record, link } = facts;
  const ourInterface = record ? record.ourInterface : port === 'present' || link !== 'absent';
  if (ourInterface && port !== 'elsewhere') return remains('condemned', true);
  // Nothing here shows an interface of it. Two looks, then the wire is asked.
  if (link === 'absent' && isWithoutTrace(facts, boot)) return remains('condemned');
  const verdict = judgeUncondemned(facts, boot);
  return verdict.kind === 'remains' ? verdict : odd('condemned-not-ours');
}

/** Whether no record of this boot tells of an interface that another main plugin may have made. */
function isWithoutTrace({ allocations, port, record, namespace }: Facts, boot: Boot): boolean {
  if (!record && port === 'absent') return true;
  const mayLive = record?.bootId === boot.id && namespace !== 'gone';
  return !mayLive && allocations.every(({ bootId }) => bootId !== boot.id);
}

function judgeUncondemned(facts: Facts, boot: Boot): Verdict {
  if (facts.link !== 'absent') return judgeLinked(facts);
  return facts.allocations.length > 0 ? judgeAllocated(facts, boot) : judgeBare(facts, boot);
}

/** A link belongs to this boot, and to a namespace that lives. */
function judgeLinked({ allocations, allocationsKnown, link, record, portFault }: Facts): Verdict {
  if (allocations.length === 0 && allocationsKnown && record?.ourIpam)
    return link === 'carrier' ? odd('no-allocation') : remains('link-without-allocation');
  // Without a carrier no ADD has finished the link, or the pod itself has shut it.
  return portFault && link === 'carrier' ? { kind: 'broken', reason: portFault } : LIVES;
}

function judgeAllocated({ allocations, port, record, namespace }: Facts, boot: Boot): Verdict {
  if (allocations.every(({ bootId }) => bootId !== boot.id)) {
    // The container restarted under its ID in this boot and kept the addresses of an earlier boot.
    if (record?.bootId === boot.id && namespace !== 'gone') return LIVES;
    if (allocations.some(({ allocatedAt }) => allocatedAt >= boot.startedAt)) return odd('other-boot');
    // The boot may have been another machine's: without a trace, one look proves nothing.
    return remains(
      'node-rebooted',
      allocations.every(({ isTraced }) => isTraced),
    );
  }
  if (port === 'elsewhere') return LIVES;
  const ourInterface = record ? record.ourInterface : port === 'present';
  switch (namespace) {
    case 'lives':
      return ourInterface ? odd('no-link') : LIVES;
    case 'gone':
      return remains('namespace-gone');
    case 'unknown':
      return ourInterface ? remains('link-gone') : odd('unproven');
  }
}

/** Judges an attachment with neither a link nor an allocation. */
function judgeBare({ allocationsKnown, port, record, namespace }: Facts, boot: Boot): Verdict {
  const earlierBoot = record?.bootId !== undefined && record.bootId !== boot.id;
  if (port === 'elsewhere' || (namespace === 'lives' && !earlierBoot)) return LIVES;
  if (port === 'present') return remains('port-without-device', earlierBoot);
  if (!record?.ourIpam || !allocationsKnown || (record.ourInterface && port === 'unknown')) return LIVES;
  return earlierBoot || namespace === 'gone' ? remains('record-left', earlierBoot) : LIVES;
}
