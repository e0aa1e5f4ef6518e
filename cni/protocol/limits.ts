import { familyBits, parseAddress, parseCidr, type Cidr } from '../../ipam/model/address.ts';
import { delegateOf, type Call } from './call.ts';
import { CniError } from './errors.ts';
import { requestedBandwidth } from './requested.ts';

/** A rate, and how much may pass at once above it. */
export interface Rate {
  /** Kilobits (1,000 bits) a second. */
  readonly kbps: number;
  readonly burstKbit: number;
}

/** What the bridge holds a pod to. The node's record of the attachment keeps it. */
export interface PortLimits {
  /**
   * Present: the pod sends only with its own MAC and addresses, and with these addresses, subnets
   * and MACs.
   */
  readonly source?: readonly string[];
  /** Largest rate of what the pod sends, and of what it receives. */
  readonly fromPod?: Rate;
  readonly toPod?: Rate;
}

/** An address or subnet, or a MAC of 48 bits. */
export type AllowedSource = { readonly subnet: Cidr } | { readonly mac: bigint };

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** @throws IpamError `invalid` */
export function parseAllowed(text: string): AllowedSource {
  if (MAC.test(text)) return { mac: BigInt(`0x${text.replaceAll(':', '')}`) };
  if (text.includes('/')) return { subnet: parseCidr(text) };
  const base = parseAddress(text);
  return { subnet: { base, prefixLength: familyBits(base.family) } };
}

/**
 * Returns what the call's configuration and runtime hold the pod to; undefined for nothing.
 * @throws CniError 7, which names the key, its value and the expected form
 */
export function limitsOf(call: Call): PortLimits | undefined {
  const { config, settings } = call;
  const bandwidth = requestedBandwidth(call);
  const limits = {
    ...(settings.sourceCheck && { source: [...config.allowedAddresses.map(checkAllowed), ...askers(call)] }),
    ...rateOf('fromPod', 'egress', bandwidth),
    ...rateOf('toPod', 'ingress', bandwidth),
  };
  return Object.keys(limits).length > 0 ? limits : undefined;
}

/** The pod of another IPAM plugin may ask for its address as DHCP does: from 0.0.0.0. */
const askers = (call: Call): readonly string[] => (delegateOf(call) === undefined ? [] : ['0.0.0.0']);

function checkAllowed(text: string, i: number): string {
  try {
    parseAllowed(text);
    return text;
  } catch (cause) {
    throw new CniError(
      'invalid-config',
      `network configuration: key 'allowedAddresses.${i}' is ${JSON.stringify(text)}: expected an address, a subnet or a MAC, such as 10.20.0.100, 10.20.0.96/28 or 00:00:5e:00:01:05`,
      '',
      { cause },
    );
  }
}

type Bandwidth = ReturnType<typeof requestedBandwidth>;
type Direction = 'ingress' | 'egress';

/** containerd and CRI-O ask for so many bits when a pod's annotation names a rate alone. */
const NO_BURST = 2 ** 31 - 1;
/**
 * Burst where none is asked for, in seconds of the rate: what is above it is dropped, and TCP keeps
 * its rate only if short bursts pass.
 */
const DEFAULT_BURST_S = 0.5;
/** An OpenFlow meter has 32 bits for its rate and its burst. */
const LARGEST_KBIT = 2 ** 32 - 1;

/** Rates come in bits a second, bursts in bits (CNI CONVENTIONS.md, capability `bandwidth`). */
function rateOf(
  way: 'fromPod' | 'toPod',
  direction: Direction,
  bandwidth: Bandwidth,
): Partial<Record<'fromPod' | 'toPod', Rate>> {
  const rate = bandwidth[`${direction}Rate`] ?? 0;
  const burst = bandwidth[`${direction}Burst`] ?? 0;
  if (rate === 0) return {};
  const kbps = kilobits(`${direction}Rate`, rate);
  const isAsked = burst > 0 && burst < NO_BURST;
  const burstKbit = isAsked ? kilobits(`${direction}Burst`, burst) : Math.ceil(kbps * DEFAULT_BURST_S);
  return { [way]: { kbps, burstKbit } };
}

function kilobits(key: string, bits: number): number {
  const kbit = Math.round(bits / 1_000);
  if (kbit >= 1 && kbit <= LARGEST_KBIT) return kbit;
  throw new CniError(
    'invalid-config',
    `runtimeConfig.bandwidth.${key} is ${bits}: expected 1000 to ${LARGEST_KBIT * 1_000} bits`,
  );
}
