import { isIPv6 } from 'node:net';
import { digest } from '../../cni/agent/metrics-access.ts';

/** So many different wrong tokens an address may send within {@link WITHIN_MS}. */
const MOST = 10;
/** In milliseconds. */
const WITHIN_MS = 60_000;
/** Addresses that are remembered: a stranger with many of them must not fill the memory. */
const MOST_ADDRESSES = 4_096;

interface Wrong {
  readonly since: number;
  /** Digests of the tokens. */
  readonly tokens: Set<string>;
}

/**
 * Counts wrong tokens by the address that they came from. The same one again is no further try: a
 * client that does not know of a new token yet locks nobody out. An address that sent too many
 * waits, even with the right token, so that nobody can try many; all others are answered as before.
 * Those who signed in already need no token, so nothing here keeps them out.
 */
export class Attempts {
  /** The oldest first. */
  readonly #wrong = new Map<string, Wrong>();
  readonly #now: () => number;

  /** @param now milliseconds by a clock that never jumps */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Returns for how many seconds the address has to wait; 0: it may try. */
  waitSeconds(address: string): number {
    const found = this.#find(address);
    if (!found || found.tokens.size < MOST) return 0;
    return Math.ceil((found.since + WITHIN_MS - this.#now()) / 1_000);
  }

  /** Counts a wrong token. */
  add(address: string, token: string): void {
    const told = digest(token).toString('base64');
    const found = this.#find(address);
    if (found) {
      if (found.tokens.size < MOST) found.tokens.add(told);
      return;
    }
    const place = placeOf(address);
    this.#wrong.delete(place);
    this.#wrong.set(place, { since: this.#now(), tokens: new Set([told]) });
    const [oldest] = this.#wrong.keys();
    if (this.#wrong.size > MOST_ADDRESSES && oldest !== undefined) this.#wrong.delete(oldest);
  }

  #find(address: string): Wrong | undefined {
    const found = this.#wrong.get(placeOf(address));
    return found && this.#now() < found.since + WITHIN_MS ? found : undefined;
  }
}

/** The network of an IPv6 address: one host has all addresses of a /64 to choose from. */
function placeOf(address: string): string {
  const [plain = ''] = address.split('%');
  const inV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1];
  if (inV4 !== undefined || !isIPv6(plain)) return inV4 ?? plain;
  const [head = '', tail] = plain.split('::');
  const parts = head.split(':');
  const missing = tail === undefined ? 0 : 8;
  return [...parts, ...Array<string>(missing).fill('0')]
    .slice(0, 4)
    .map((part) => Number.parseInt(part || '0', 16).toString(16))
    .join(':');
}
