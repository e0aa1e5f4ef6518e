import type { Attachment } from '../../ipam/model/attachment.ts';

/** An address as etcd has it given out, as far as the judgement needs it. */
export interface JudgedAllocation {
  readonly bootId: string;
  /** Milliseconds since 1970. */
  readonly allocatedAt: number;
}

/** Everything that the node and etcd tell of one attachment. */
export interface Facts extends Attachment {
  readonly allocations: readonly JudgedAllocation[];
  /** Whether all of etcd that could hold an allocation of it was read: else that there is none proves nothing. */
  readonly allocationsKnown: boolean;
  /** The host's end with our mark; `idle`: one of the ends is not up, so no ADD has finished it. */
  readonly link: 'absent' | 'idle' | 'carrier';
  /**
   * With our mark. `elsewhere`: its bridge is none of the links in sight, so that its device is not proves nothing. `unknown`: Open
   * vSwitch did not answer. Whether vswitchd has its device open says nothing: the userspace datapath does not see it go.
   */
  readonly port: 'absent' | 'present' | 'elsewhere' | 'unknown';
  readonly record: RecordFacts | undefined;
  /** The pod's; `unknown`: no record names it. */
  readonly namespace: 'lives' | 'gone' | 'unknown';
}

export interface RecordFacts {
  /** Absent in records of before there was a reconcile. */
  readonly bootId: string | undefined;
  /** Whether our IPAM gave its addresses. */
  readonly ourIpam: boolean;
  /** Whether we made its link and port; else another main plugin made the interface. */
  readonly ourWire: boolean;
}

export interface Boot {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

/** Why something is left of an attachment that is gone. */
export const REMAINS = [
  /** Its addresses were given in an earlier boot of the node. */
  'node-rebooted',
  /** The pod's namespace is gone, and our link with it. */
  'namespace-gone',
  /** Our link is gone, and nothing tells of the namespace: without its link the pod has no address. */
  'link-gone',
  /** Our port in Open vSwitch is of a device that is gone, and nobody has an address. */
  'port-without-device',
  /** Our link was never finished, and nobody has an address: an ADD was killed. */
  'link-without-allocation',
  /** Only our record is left. */
  'record-left',
] as const;
export type RemainsReason = (typeof REMAINS)[number];

/** What an operator should know, and that nobody but him can put right: nothing proves that it is a leak. */
export const ODDITIES = [
  /** The pod's namespace lives, but our link is gone: the pod is cut off. */
  'no-link',
  /** The pod uses its interface, and etcd has no address for it: released by force, or etcd was set back. */
  'no-allocation',
  /** Given in another boot after this one began: two machines of one name, or a clock that was set back. */
  'other-boot',
  /** No record, link or port tells anything of it: it counts as in use. */
  'unproven',
] as const;
export type OddReason = (typeof ODDITIES)[number];

export type Verdict =
  | { readonly kind: 'lives' }
  /** To be cleared away: at once, or when two observations agree. */
  | { readonly kind: 'remains'; readonly reason: RemainsReason; readonly atOnce: boolean }
  | { readonly kind: 'odd'; readonly reason: OddReason };

const LIVES: Verdict = { kind: 'lives' };
const odd = (reason: OddReason): Verdict => ({ kind: 'odd', reason });
const remains = (reason: RemainsReason, atOnce = false): Verdict => ({ kind: 'remains', reason, atOnce });

/** Whether an attachment lives: what nothing proves gone does (rule 6). One observation only. */
export function judge(facts: Facts, boot: Boot): Verdict {
  if (facts.link !== 'absent') return judgeLinked(facts);
  return facts.allocations.length > 0 ? judgeAllocated(facts, boot) : judgeBare(facts, boot);
}

/** A link is of this boot, and of a namespace that lives. */
function judgeLinked({ allocations, allocationsKnown, link, record }: Facts): Verdict {
  if (allocations.length > 0 || !allocationsKnown || !record?.ourIpam) return LIVES;
  return link === 'carrier' ? odd('no-allocation') : remains('link-without-allocation');
}

function judgeAllocated({ allocations, port, record, namespace }: Facts, boot: Boot): Verdict {
  if (allocations.every(({ bootId }) => bootId !== boot.id)) {
    // The container was started again under its ID in this boot, and kept the addresses of the last.
    if (record?.bootId === boot.id && namespace !== 'gone') return LIVES;
    if (allocations.some(({ allocatedAt }) => allocatedAt >= boot.startedAt)) return odd('other-boot');
    return remains('node-rebooted', true);
  }
  if (port === 'elsewhere') return LIVES;
  const ourWire = record ? record.ourWire : port === 'present';
  switch (namespace) {
    case 'lives':
      return ourWire ? odd('no-link') : LIVES;
    case 'gone':
      return remains('namespace-gone');
    case 'unknown':
      return ourWire ? remains('link-gone') : odd('unproven');
  }
}

/** Neither a link nor an address. */
function judgeBare({ allocationsKnown, port, record, namespace }: Facts, boot: Boot): Verdict {
  const earlierBoot = record?.bootId !== undefined && record.bootId !== boot.id;
  if (port === 'elsewhere' || (namespace === 'lives' && !earlierBoot)) return LIVES;
  if (port === 'present') return remains('port-without-device', earlierBoot);
  if (!record?.ourIpam || !allocationsKnown || (record.ourWire && port === 'unknown')) return LIVES;
  return earlierBoot || namespace === 'gone' ? remains('record-left', earlierBoot) : LIVES;
}
