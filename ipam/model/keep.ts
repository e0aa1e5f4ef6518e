import type { UnknownFields } from './unknown-fields.ts';

/** A pod's interface, named as it is each time that the pod is made. */
export interface PodInterface {
  readonly namespace: string;
  readonly name: string;
  readonly ifname: string;
}

/** By which rule an address stays a pod's after the pod has gone, and how long. */
export interface Keep {
  /** Name of the rule. */
  readonly rule: string;
  /** Milliseconds after the pod has gone; absent: until somebody ends it. */
  readonly forMs?: number;
  /**
   * The address goes to whichever pod of the rule comes next. Absent: to the pod of the same name.
   */
  readonly anyPod?: true;
  /** The pod's annotation says so, as the rule allows. */
  readonly byAnnotation?: true;
  /** When the address was first kept, in milliseconds since 1970. */
  readonly since: number;
  readonly unknownFields?: UnknownFields;
}

/** What a rule says of the addresses of its pods. */
export type KeepTerms = Pick<Keep, 'forMs' | 'anyPod'>;

const LONGEST_KEEP_MS = 3_650 * 24 * 3_600_000;
/** What {@link isKeepTime} accepts, for messages. */
export const KEEP_FORM = 'a time from 1s to 3650d, or forever';

/** Whether addresses can be kept for this time. */
export const isKeepTime = (ms: number): boolean =>
  Number.isInteger(ms) && ms >= 1_000 && ms <= LONGEST_KEEP_MS;

export const isSamePod = (a: PodInterface, b: PodInterface): boolean =>
  a.namespace === b.namespace && a.name === b.name && a.ifname === b.ifname;

/** Returns the pod's interface of an owner; undefined for a container that is no pod. */
export function podInterfaceOf(owner: {
  readonly ifname: string;
  readonly podNamespace?: string;
  readonly podName?: string;
}): PodInterface | undefined {
  const { podNamespace: namespace, podName: name, ifname } = owner;
  return namespace === undefined || name === undefined ? undefined : { namespace, name, ifname };
}
