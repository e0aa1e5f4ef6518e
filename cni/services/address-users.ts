import type { Address } from '../../ipam/model/address.ts';

const IPV6 = 1n << 128n;
/** Returns a number that no other address of either family has. */
const numberOf = ({ family, value }: Address): bigint => (family === 4 ? value : IPV6 + value);

/**
 * Which Services use an address, each as often as it was added. An address of one Service only,
 * which is the usual case, costs one entry and no list.
 */
export class AddressUsers {
  readonly #users = new Map<bigint, string | readonly string[]>();

  /** @returns whether this is the address's first use */
  add(address: Address, service: string): boolean {
    const number = numberOf(address);
    const users = this.#users.get(number);
    if (users === undefined) this.#users.set(number, service);
    else this.#users.set(number, typeof users === 'string' ? [users, service] : [...users, service]);
    return users === undefined;
  }

  /** @returns whether this was the address's last use */
  remove(address: Address, service: string): boolean {
    const number = numberOf(address);
    const users = this.#users.get(number);
    if (users === service) return this.#users.delete(number);
    if (users === undefined || typeof users === 'string') return false;
    const at = users.indexOf(service);
    if (at === -1) return false;
    const [first, ...others] = users.toSpliced(at, 1);
    if (first !== undefined) this.#users.set(number, others.length === 0 ? first : [first, ...others]);
    return false;
  }

  has(address: Address): boolean {
    return this.#users.has(numberOf(address));
  }

  of(address: Address): ReadonlySet<string> {
    return new Set([this.#users.get(numberOf(address)) ?? []].flat());
  }
}
