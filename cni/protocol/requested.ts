import * as v from 'valibot';
import { formatAddress, parseAddress, parseAddressInSubnet, type Family } from '../../ipam/model/address.ts';
import type { RequestedAddress } from '../../ipam/model/demand.ts';
import type { Call } from './call.ts';
import { OUR_IPAM } from './config-schema.ts';
import { decode, familiesOf, type NetworkConfig } from './config.ts';
import { CniError } from './errors.ts';
import type { CniArgs } from './request.ts';

/**
 * The places in which a runtime requests addresses or a MAC for one attachment. The first place
 * that names a value wins: `runtimeConfig` (a capability), `args.cni`, then `CNI_ARGS` (CNI
 * CONVENTIONS.md, "Dynamic Plugin specific fields").
 */
interface RequestSources {
  readonly runtimeConfig: v.InferOutput<typeof runtimeConfig> | undefined;
  readonly args: Requested | undefined;
  readonly environment: Requested;
}

interface Requested {
  readonly ips?: readonly string[] | undefined;
  readonly mac?: string | undefined;
}

const ips = v.optional(v.array(v.string()));
const mac = v.optional(v.string());
const rate = v.optional(v.pipe(v.number(), v.minValue(0, '0 or more')));
const bandwidth = v.looseObject({
  ingressRate: rate,
  ingressBurst: rate,
  egressRate: rate,
  egressBurst: rate,
});
/** Rates in bits a second, bursts in bits; of what the pod receives and of what it sends. */
export type Bandwidth = v.InferOutput<typeof bandwidth>;
const runtimeConfig = v.looseObject({ ips, mac, bandwidth: v.optional(bandwidth) });
const args = v.looseObject({ cni: v.optional(v.looseObject({ ips, mac })) });

function requestSourcesOf(config: NetworkConfig, environment: CniArgs): RequestSources {
  const { raw } = config;
  return {
    runtimeConfig:
      raw['runtimeConfig'] === undefined
        ? undefined
        : decode(runtimeConfig, raw['runtimeConfig'], 'runtimeConfig.'),
    args: raw['args'] === undefined ? undefined : decode(args, raw['args'], 'args.').cni,
    environment: { ips: environment.ip?.split(','), mac: environment.mac },
  };
}

/** A requested value, and its place for error messages. */
interface Found<T> {
  readonly value: T;
  readonly where: string;
}

function firstOf<K extends keyof Requested>(
  { runtimeConfig, args, environment }: RequestSources,
  key: K,
  inArgs: string,
): Found<NonNullable<Requested[K]>> | undefined {
  const places: [string, Requested | undefined][] = [
    [`runtimeConfig.${key}`, runtimeConfig],
    [`args.cni.${key}`, args],
    [`CNI_ARGS key ${inArgs}`, environment],
  ];
  for (const [where, place] of places) {
    const value = place?.[key];
    if (value !== undefined && value.length > 0) return { value, where };
  }
  return undefined;
}

/**
 * Returns the requested addresses of an attachment, with or without prefix length, at most one of
 * each family.
 * @throws CniError 7, which names the place of the request, its value and the expected form
 */
export function requestedAddresses({ config, request }: Call): RequestedAddress[] {
  const found = firstOf(requestSourcesOf(config, request.args), 'ips', 'IP');
  if (!found) return [];
  const requested = found.value.map((text) => parseRequested(text.trim(), found.where));
  for (const family of [4, 6] as const) {
    const those = requested.filter((address) => address.family === family);
    if (those.length > 1) {
      throw new CniError(
        'invalid-config',
        `${found.where} requests ${those.map(formatAddress).join(' and ')}: expected at most one IPv${family} address`,
      );
    }
  }
  return requested;
}

function parseRequested(text: string, where: string): RequestedAddress {
  try {
    if (!text.includes('/')) return parseAddress(text);
    const { address, prefixLength } = parseAddressInSubnet(text);
    return { ...address, prefixLength };
  } catch (cause) {
    throw new CniError(
      'invalid-config',
      `${where} is ${JSON.stringify(text)}: expected an IPv4 or IPv6 address, with its prefix length or without`,
      '',
      { cause },
    );
  }
}

/**
 * Returns the families of the attachment's addresses: those of `ipam.families`. Without that key,
 * returns those of the requested addresses, or IPv4 when there are none.
 * @throws CniError 7 for a requested address of a family that `ipam.families` lacks
 */
export function familiesFor(call: Call, requested: readonly RequestedAddress[]): readonly Family[] {
  const { ourIpam } = call.config;
  if (ourIpam?.families === undefined && requested.length > 0) {
    return [...new Set(requested.map(({ family }) => family))].sort();
  }
  const families = familiesOf(ourIpam);
  const stray = requested.find(({ family }) => !families.includes(family));
  if (!stray) return families;
  throw new CniError(
    'invalid-config',
    `the requested address ${formatAddress(stray)} is IPv${stray.family}, but 'ipam.families' is ${JSON.stringify(ourIpam?.families)}`,
  );
}

/** Returns the families that our IPAM is asked for; none where another IPAM plugin decides. */
export function wantedFamilies(call: Call): readonly Family[] {
  return call.config.ipamType === OUR_IPAM ? familiesFor(call, requestedAddresses(call)) : [];
}

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/**
 * Returns the requested MAC of the attachment, in lower case.
 * @throws CniError 7 for a malformed MAC, or one that no interface can have: multicast (IEEE 802
 *   I/G bit) or all zero
 */
export function requestedMac({ config, request }: Call): string | undefined {
  const found = firstOf(requestSourcesOf(config, request.args), 'mac', 'MAC');
  if (!found) return undefined;
  const text = found.value.toLowerCase();
  const isGroup = (Number.parseInt(text.slice(0, 2), 16) & 1) === 1;
  if (MAC.test(text) && !isGroup && text !== '00:00:00:00:00:00') return text;
  throw new CniError(
    'invalid-config',
    `${found.where} is ${JSON.stringify(found.value)}: expected the MAC of one interface, such as 0a:58:0a:14:00:11`,
  );
}

/** Returns the rates and bursts that the runtime asks for. @throws CniError 7 */
export function requestedBandwidth({ config, request }: Call): Bandwidth {
  return requestSourcesOf(config, request.args).runtimeConfig?.bandwidth ?? {};
}
