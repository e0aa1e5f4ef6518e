import { lookOnWire, wireSideOf, type WireSide } from '../../cni/attach/wire-look.ts';
import { ownPlaceOf } from '../../cni/reconcile/settings.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Context } from '../context/context.ts';
import { quietLog } from '../context/quiet-log.ts';

/**
 * Asks the wire, from a bridge of this host, whether a host still answers for addresses: a node
 * that is silent to etcd and to Kubernetes may go on forwarding. Where this host has no bridge of
 * the VLAN, it says so once for each VLAN.
 */
export class Wire {
  readonly #context: Context;
  readonly #warn: (text: string) => void;
  readonly #sides = new Map<number | undefined, Promise<WireSide | undefined>>();

  constructor(context: Context, warn: (text: string) => void) {
    this.#context = context;
    this.#warn = warn;
  }

  /** Whether this host has a bridge from which it can ask there. */
  async canAsk(vlan: number | undefined): Promise<boolean> {
    return (await this.#sideOf(vlan)) !== undefined;
  }

  /**
   * @returns the MAC of the host that answers, by address as text; empty where nobody answers or
   *   nobody could ask
   */
  async answersFor(
    vlan: number | undefined,
    addresses: readonly Address[],
  ): Promise<ReadonlyMap<string, string>> {
    const side = await this.#sideOf(vlan);
    if (!side) return new Map();
    try {
      const platform = await this.#context.world.openPlatform(quietLog);
      return await lookOnWire(platform, side, addresses.map(formatAddress));
    } catch (error) {
      this.#tell(vlan, messageOf(error));
      return new Map();
    }
  }

  #sideOf(vlan: number | undefined): Promise<WireSide | undefined> {
    const known = this.#sides.get(vlan) ?? this.#find(vlan);
    this.#sides.set(vlan, known);
    return known;
  }

  async #find(vlan: number | undefined): Promise<WireSide | undefined> {
    const { world, settings } = this.#context;
    try {
      const { ovs, bridge } = ownPlaceOf(settings, world.env, world.hostname);
      const side = ovs && (await wireSideOf(await world.openPlatform(quietLog), ovs, vlan, bridge));
      if (!side) this.#tell(vlan, 'this host has no bridge with an uplink that leads there');
      return side;
    } catch (error) {
      this.#tell(vlan, messageOf(error));
      return undefined;
    }
  }

  #tell(vlan: number | undefined, why: string): void {
    const where = vlan === undefined ? 'without VLAN' : `of VLAN ${vlan}`;
    this.#warn(`nobody asked the wire whether addresses ${where} are still answered: ${why}`);
  }
}
