import type { AuditedPod } from '../../ipam/audit/judge.ts';
import type { AuditedStatefulSet } from '../../ipam/audit/scale-down.ts';

/** A pod as the API server reports it. Times are RFC 3339 strings as the server writes them. */
export type Pod = AuditedPod;

export type StatefulSet = AuditedStatefulSet;

export interface Node {
  readonly name: string;
  readonly uid: string;
  /** Whether the node's condition Ready is True. */
  readonly ready: boolean;
  /**
   * `spec.podCIDRs`: the subnets from which host-local gives addresses to the node's pods. Absent
   * where Kubernetes assigns none.
   */
  readonly podCIDRs?: readonly string[];
  /** The label topology.kubernetes.io/zone. Absent where the cluster has no zones. */
  readonly zone?: string;
}

export interface PodList {
  /** Every pod of the cluster in one snapshot. */
  readonly pods: readonly Pod[];
  /** The version of that snapshot. */
  readonly resourceVersion: string;
}

export interface ListOptions {
  /**
   * The lister calls this after each page.
   * @param n the number of items so far; it drops when the list has to start over
   * @param total the server's estimate of the items on all pages
   */
  readonly onProgress?: (n: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface Probe {
  /**
   * The response's Date header (RFC 9110 section 6.6.1), which has whole seconds, in milliseconds
   * since 1970. Undefined when the response has none.
   */
  readonly serverTime: number | undefined;
  /** The local clock before and after the request, in milliseconds since 1970. */
  readonly asked: number;
  readonly answered: number;
}

/** Receives a list page by page, so that no component has to hold all of it in memory. */
export interface PodSink {
  /** The list starts or starts over. The sink discards all earlier pods. */
  readonly restart: () => void;
  /** Adds the pods of one page. The sink copies what it keeps of them. */
  readonly add: (pods: readonly Pod[]) => void;
}

/** Identifies one snapshot of the cluster. */
export interface Moment {
  readonly resourceVersion: string;
}

/** One API server. Every method rejects with KubeError and never resolves to a partial result. */
export interface KubeApi {
  /** The server's address, which names the cluster in messages and reports. */
  readonly server: string;
  readonly listPods: (options?: ListOptions) => Promise<PodList>;
  /**
   * Lists the pods page by page. The list is complete only once the promise resolves; the caller
   * must not conclude anything from it before that.
   */
  readonly walkPods: (sink: PodSink, options?: ListOptions) => Promise<Moment>;
  /**
   * Reports whether the cluster has a pod at all; requests the list's first item as a quorum read.
   */
  readonly anyPod: () => Promise<Moment & { readonly any: boolean }>;
  /** Resolves to undefined only when the server reports that this very pod does not exist. */
  readonly getPod: (namespace: string, name: string) => Promise<Pod | undefined>;
  readonly listNodes: (options?: ListOptions) => Promise<readonly Node[]>;
  readonly listStatefulSets: (options?: ListOptions) => Promise<readonly StatefulSet[]>;
  /**
   * Resolves to undefined only when the server reports that this very node does not exist. Capitals
   * in the name do not count.
   */
  readonly getNode: (name: string) => Promise<Node | undefined>;
  /**
   * Requests one item of the list. This shows whether the client may list the resource, how long
   * the request takes, and the server's time.
   */
  readonly probe: (resource: 'pods' | 'nodes') => Promise<Probe>;
  /** Returns the UID of the namespace kube-system, which serves as the cluster's identity. */
  readonly clusterUid: () => Promise<string>;
  /** Ends all watches, and closes idle connections. */
  readonly close: () => void;
}
