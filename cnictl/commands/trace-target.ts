import { parseAddress, type Address } from '../../ipam/model/address.ts';
import { CommandError } from '../context/errors.ts';

export type TraceProtocol = 'icmp' | 'tcp' | 'udp' | 'sctp';

/** Where the traced packet goes to. */
export interface TraceTarget {
  readonly address: Address;
  readonly protocol: TraceProtocol;
  /** Undefined for ICMP. */
  readonly port: number | undefined;
}

/** Of the traced packet: any port that clients use. */
export const CLIENT_PORT = 40_000;

const FORM = 'expected ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT, with /tcp, /udp or /sctp behind a port';

/** @throws CommandError, IpamError `invalid` for an address that is none */
export function parseTarget(text: string): TraceTarget {
  const [, where = '', protocol] = /^([^/]+?)(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^[\]:]+)):(\d{1,5})$/.exec(where) ?? [];
  if (port === undefined) {
    if (where === '' || protocol !== undefined) throw new CommandError(`destination '${text}': ${FORM}`);
    return { address: parseAddress(where.replace(/^\[(.*)\]$/, '$1')), protocol: 'icmp', port: undefined };
  }
  if (Number(port) < 1 || Number(port) > 65_535)
    throw new CommandError(`destination '${text}': the port is not one of 1 to 65535`);
  return {
    address: parseAddress(bracketed ?? plain ?? ''),
    protocol: (protocol ?? 'tcp').toLowerCase() as TraceProtocol,
    port: Number(port),
  };
}
