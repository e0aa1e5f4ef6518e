/** What the cluster gave to the test's objects, before any client asks. */
import { isIPv6 } from 'node:net';

export type Family = 4 | 6;

export interface ServiceFacts {
  /** Its cluster addresses, each with an endpoint of its family. The first is the Service's own. */
  readonly addresses: readonly string[];
  readonly nodePort?: number;
  /** Why the cluster does not have it. */
  readonly problem?: string;
}

export interface Facts {
  readonly namespace: string;
  readonly services: ReadonlyMap<string, ServiceFacts>;
  /** Why a pod does not run, by the names of those that do not. */
  readonly broken: ReadonlyMap<string, string>;
  /** The families in which the pods have addresses. */
  readonly families: readonly Family[];
  /** The Service default/kubernetes. */
  readonly apiServer: Target | Unknown;
  /** The Service kube-system/kube-dns. */
  readonly dns: Target | Unknown;
  readonly externalIp?: string;
  /** Whether kube-proxy, or what stands in for it, is said to serve the nodes. */
  readonly hasKubeProxy: boolean;
}

export interface Target {
  readonly address: string;
  readonly port: number;
}

/** Why there is nothing to be asked. */
export interface Unknown {
  readonly reason: string;
}

export const familyOf = (address: string): Family => (isIPv6(address) ? 6 : 4);

export const atPort = (address: string, port: number): string =>
  isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
