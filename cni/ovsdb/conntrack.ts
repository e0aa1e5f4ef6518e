/** Connections as ovs-vswitchd prints them (`dpctl/dump-conntrack`). Pure. */

/** One connection of a client to a Service. Names of protocols are as Open vSwitch prints them. */
export interface TrackedConnection {
  readonly protocol: string;
  readonly client: ConnectionEnd;
  /** Where the client sent to. */
  readonly service: ConnectionEnd;
  /** Where the answers come from. */
  readonly server: ConnectionEnd;
  /** The state of a TCP connection, such as `ESTABLISHED`. */
  readonly state: string | undefined;
}

export interface ConnectionEnd {
  readonly address: string;
  readonly port: number;
}

/** Reads the connections of a text, one a line. Lines without ports are no Service's. */
export const parseConntrack = (text: string): TrackedConnection[] =>
  text.split('\n').flatMap((line) => connectionIn(line) ?? []);

function connectionIn(line: string): TrackedConnection | undefined {
  const [, protocol] = /^([a-z0-9]+),/.exec(line) ?? [];
  const [orig, reply] = [tupleIn(line, 'orig'), tupleIn(line, 'reply')];
  if (protocol === undefined || !orig || !reply) return undefined;
  return {
    protocol,
    client: { address: orig.src, port: orig.sport },
    service: { address: orig.dst, port: orig.dport },
    server: { address: reply.src, port: reply.sport },
    state: /protoinfo=\(state=([A-Z_]+)/.exec(line)?.[1],
  };
}

interface Tuple {
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
}

function tupleIn(line: string, name: string): Tuple | undefined {
  const [, src = '', dst = '', sport, dport] =
    new RegExp(`\\b${name}=\\(src=([^,]+),dst=([^,]+),sport=(\\d+),dport=(\\d+)`).exec(line) ?? [];
  if (sport === undefined || dport === undefined) return undefined;
  return { src, dst, sport: Number(sport), dport: Number(dport) };
}
