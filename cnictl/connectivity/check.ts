import type { Ask } from './ask.ts';

/** What the client must find. */
export type Expected =
  /** This server answers, and sees the client at this address. */
  | { readonly kind: 'answer'; readonly by: string; readonly source: Source }
  /** Every one of these servers answers some connection, and nobody else any. */
  | { readonly kind: 'each'; readonly of: readonly string[] }
  /** One of these answers all connections. */
  | { readonly kind: 'one'; readonly of: readonly string[] }
  /** The connection is refused at once. */
  | { readonly kind: 'refusal' }
  | { readonly kind: 'connection' }
  | { readonly kind: 'address'; readonly address: string }
  /** The endpoint that stays keeps its TCP connection, and gets the UDP one of the other. */
  | { readonly kind: 'moved' };

/** `own`: the client's own address. `any`: whichever. Else this one. */
export type Source = 'own' | 'any' | { readonly address: string };

/** What does the work between client and server. */
export type Worker = 'bridge' | 'kube-proxy' | 'node-port' | 'portmap';

export interface Check {
  /** What is tried, such as `an endpoint on another node, TCP`. */
  readonly name: string;
  /** The client: a pod, or {@link MACHINE}. */
  readonly from: string;
  /** Such as `only-b, 10.96.0.17:80`. */
  readonly to: string;
  /** The servers that must run for it. */
  readonly needs: readonly string[];
  readonly ask: Ask;
  readonly expected: Expected;
  readonly by: Worker;
  /** Whether it works only where the nodes masquerade what they forward (`masqueradeForwarded`). */
  readonly needsKey?: boolean;
  /** Whether it needs that key, too, for a client that is not of the subnet of its server. */
  readonly needsKeyBeyondSubnet?: boolean;
}

/** The machine where cnictl runs, as a client. */
export const MACHINE = 'this machine';

export interface Skipped {
  readonly name: string;
  readonly reason: string;
}

export interface Checks {
  readonly checks: readonly Check[];
  readonly skipped: readonly Skipped[];
}
