import type { AuditedPod } from '../../ipam/audit/judge.ts';
/** A pod as the API server tells it. Times are RFC 3339 as the server writes them. */
export interface Pod extends AuditedPod {
  /** When its end was asked for (it may still run); absent otherwise. */
  readonly deletionTimestamp?: string;
}

export interface Node {
  readonly name: string;
  readonly uid: string;
  /** Whether its condition Ready is True. */
  readonly ready: boolean;
}

export interface PodList {
  /** Every pod of the cluster at one moment. */
  readonly pods: readonly Pod[];
  /** That moment. */
  readonly resourceVersion: string;
}

export interface ListOptions {
  /**
   * Called after each page with the number of items so far; it falls back when the list has to start over.
   * @param total of all pages, as the server estimates it
   */
  readonly onProgress?: (n: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface Probe {
  /** Of the answer's Date header (RFC 9110 section 6.6.1), whole seconds; in milliseconds since 1970. Undefined without one. */
  readonly serverTime: number | undefined;
  /** Before and after, by the clock here, in milliseconds since 1970. */
  readonly asked: number;
  readonly answered: number;
}

/** Takes a list page by page, so that nobody has to hold all of it. */
export interface PodSink {
  /** The list begins, for the first time or anew: what came before counts for nothing. */
  readonly restart: () => void;
  /** Pods of one page; what is to be remembered of them must be copied. */
  readonly add: (pods: readonly Pod[]) => void;
}

/** A moment of the cluster. */
export interface Moment {
  readonly resourceVersion: string;
}

/** One API server. Every method rejects with KubeError, and never resolves to less than all. */
export interface KubeApi {
  /** For messages, and to recognise the cluster in a report. */
  readonly server: string;
  readonly listPods: (options?: ListOptions) => Promise<PodList>;
  /** The same page by page. Only when this has resolved was the list whole, and may anything be concluded from it. */
  readonly walkPods: (sink: PodSink, options?: ListOptions) => Promise<Moment>;
  /** Whether there is any pod at all: the first of the list, as a quorum read. */
  readonly anyPod: () => Promise<Moment & { readonly any: boolean }>;
  /** Undefined only when the server says of just this pod that it is not there. */
  readonly getPod: (namespace: string, name: string) => Promise<Pod | undefined>;
  readonly listNodes: (options?: ListOptions) => Promise<readonly Node[]>;
  /** Undefined only when the server says of just this node that it is not there. */
  readonly getNode: (name: string) => Promise<Node | undefined>;
  /** Asks for one item of the list: whether it may be listed, how long that took, what time the server has. */
  readonly probe: (resource: 'pods' | 'nodes') => Promise<Probe>;
  /** The UID of the namespace kube-system, which serves as the cluster's identity. */
  readonly clusterUid: () => Promise<string>;
  /** Lets go of kept connections. */
  readonly close: () => void;
}
