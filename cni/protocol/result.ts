import * as v from 'valibot';
import { isBefore, type CniVersion } from './version.ts';

/**
 * A success reply (CNI SPEC 1.1.0 section 5 "Success") in the newest shape. {@link renderResult}
 * converts it to older shapes.
 */
export interface CniResult {
  readonly interfaces?: readonly CniInterface[] | undefined;
  readonly ips?: readonly CniIp[] | undefined;
  readonly routes?: readonly CniRoute[] | undefined;
  readonly dns?: unknown;
}

export interface CniInterface {
  readonly name: string;
  readonly mac?: string | undefined;
  readonly mtu?: number | undefined;
  /** Path of the namespace; empty for the host. */
  readonly sandbox?: string | undefined;
}

export interface CniIp {
  /** Address in CIDR notation, `10.20.0.17/22`. */
  readonly address: string;
  readonly gateway?: string | undefined;
  /** Index into `interfaces`. */
  readonly interface?: number | undefined;
}

export interface CniRoute {
  readonly dst: string;
  readonly gw?: string | undefined;
  readonly mtu?: number | undefined;
  readonly advmss?: number | undefined;
  readonly priority?: number | undefined;
  readonly table?: number | undefined;
  readonly scope?: number | undefined;
}

const number = v.optional(v.number());
const string = v.optional(v.string());

/** The keys that cellnet reads from a delegate's result or a `prevResult`. Allows unknown keys. */
export const IF_RESULT = v.looseObject({
  interfaces: v.optional(
    v.array(v.looseObject({ name: v.string(), mac: string, mtu: number, sandbox: string })),
  ),
  ips: v.optional(v.array(v.looseObject({ address: v.string(), gateway: string, interface: number }))),
  routes: v.optional(
    v.array(
      v.looseObject({
        dst: v.string(),
        gw: string,
        mtu: number,
        advmss: number,
        priority: number,
        table: number,
        scope: number,
      }),
    ),
  ),
  dns: v.optional(v.unknown()),
});

/** Returns the reply in the shape of the configuration's version, which the runtime requires. */
export function renderResult(version: CniVersion, result: CniResult): string {
  const { interfaces, ips, routes, dns } = result;
  return JSON.stringify({
    cniVersion: version,
    ...(interfaces && { interfaces: interfaces.map((each) => renderInterface(version, each)) }),
    ...(ips && { ips: ips.map((each) => renderIp(version, each)) }),
    ...(routes && { routes: routes.map((each) => renderRoute(version, each)) }),
    ...(dns !== undefined ? { dns } : isBefore(version, '1.0.0') && { dns: {} }),
  });
}

/** Omits `mtu`, which CNI SPEC 1.1.0 introduced, from older replies. */
function renderInterface(version: CniVersion, each: CniInterface): CniInterface {
  if (!isBefore(version, '1.1.0')) return each;
  const { name, mac, sandbox } = each;
  return { name, mac, sandbox };
}

/** Before CNI SPEC 1.0.0, each address names its family in `version`. */
function renderIp(version: CniVersion, each: CniIp): CniIp & { version?: string } {
  if (!isBefore(version, '1.0.0')) return each;
  return { version: each.address.includes(':') ? '6' : '4', ...each };
}

/** CNI SPEC 1.1.0 introduced `mtu`, `advmss`, `priority`, `table` and `scope`. */
function renderRoute(version: CniVersion, each: CniRoute): CniRoute {
  if (!isBefore(version, '1.1.0')) return each;
  return { dst: each.dst, ...(each.gw !== undefined && { gw: each.gw }) };
}

/** Appends this plugin's results to those of the earlier plugins in the chain. */
export function extendResult(previous: CniResult | undefined, ours: CniResult): CniResult {
  if (!previous) return ours;
  const offset = previous.interfaces?.length ?? 0;
  const ips = ours.ips?.map((ip) =>
    ip.interface === undefined ? ip : { ...ip, interface: ip.interface + offset },
  );
  return {
    ...previous,
    interfaces: [...(previous.interfaces ?? []), ...(ours.interfaces ?? [])],
    ips: [...(previous.ips ?? []), ...(ips ?? [])],
    routes: [...(previous.routes ?? []), ...(ours.routes ?? [])],
    ...(ours.dns !== undefined && { dns: ours.dns }),
  };
}
