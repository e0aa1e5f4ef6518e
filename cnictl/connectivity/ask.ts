/**
 * What a client of the test asks, and what comes of it. The script of the pods
 * ({@link POD_SCRIPT}) knows the same words.
 */

/** Ports of the servers. The last two are ports of nodes, outside the usual range of NodePorts. */
export const PORT = { tcp: 8080, udp: 8081, closed: 8099, host: 28_871, published: 28_872 } as const;

export type Ask =
  /** One connection, or one datagram; the server tells its name and whom it sees. */
  | { readonly kind: 'tcp' | 'udp'; readonly address: string; readonly port: number }
  /** So many connections, each by a socket of its own. */
  | {
      readonly kind: 'many';
      readonly over: 'tcp' | 'udp';
      readonly address: string;
      readonly port: number;
      readonly count: number;
    }
  /** A TCP connection, and not a byte on it. */
  | { readonly kind: 'open'; readonly address: string; readonly port: number }
  /** A datagram that is whole, then one of so many bytes by the same socket. */
  | { readonly kind: 'large'; readonly address: string; readonly port: number; readonly bytes: number }
  /** A question to a DNS server for the IPv4 addresses of a Service, as SERVICE.NAMESPACE. */
  | { readonly kind: 'dns'; readonly address: string; readonly port: number; readonly service: string }
  /**
   * A UDP connection, and a TCP connection to another endpoint, until the endpoint of the UDP
   * connection is gone.
   */
  | { readonly kind: 'move'; readonly address: string; readonly port: number };

export interface Outcome {
  /** The server's own name. */
  readonly name?: string;
  /** The client's address, as the server sees it. */
  readonly seen?: string;
  /** The client's address, as the client knows it. */
  readonly from?: string;
  /** Such as ECONNREFUSED, or `no answer`. */
  readonly error?: string;
  /** How long it took. */
  readonly ms?: number;
  /** Of `many`: how often each server answered, or each error came. */
  readonly answers?: Readonly<Record<string, number>>;
  /** Of `large`: how many bytes came to the server, and back. */
  readonly bytes?: number;
  readonly received?: number;
  /** Of `dns`. */
  readonly addresses?: readonly string[];
  /** Of `move`: the server of the UDP connection before and after. */
  readonly movedFrom?: string;
  readonly movedTo?: string;
}

/**
 * What the client waits for before it asks in earnest, as a bridge needs a moment for a new
 * Service: an answer, a refusal, or an answer of each of these servers. `nothing`: none may come.
 */
export type Awaited = 'answer' | 'refusal' | 'nothing' | readonly string[];

/** What a client pod gets to do, in its environment. */
export interface Task {
  readonly ask: Ask;
  readonly until: Awaited;
}
