import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { MetricsAccess } from '../../cni/agent/metrics-access.ts';

/** How long somebody who signed in stays so, in milliseconds. */
const LASTS_MS = 12 * 3_600_000;

export interface SessionOptions {
  /** Whether the server speaks TLS: browsers then send the cookie over TLS only. */
  readonly isSecure: boolean;
  /** Milliseconds by a clock that never jumps. */
  readonly now?: () => number;
}

/**
 * Cookies of browsers that signed in with the token. A cookie is the time of its end, with a
 * signature over that and the token: the server keeps none, another token ends all of them, and so
 * does another start of the server.
 */
export class Sessions {
  readonly #key = randomBytes(32);
  readonly #isSecure: boolean;
  readonly #now: () => number;

  constructor({ isSecure, now = () => performance.now() }: SessionOptions) {
    this.#isSecure = isSecure;
    this.#now = now;
  }

  /** Returns the header `Set-Cookie` for somebody who sent the token. */
  begin({ token }: MetricsAccess): string {
    const end = Math.floor(this.#now() + LASTS_MS);
    return this.#cookie(`${end}.${this.#sign(token, end).toString('base64url')}`, LASTS_MS / 1_000);
  }

  /** Returns the header `Set-Cookie` that ends it. */
  end(): string {
    return this.#cookie('', 0);
  }

  /**
   * Whether the request comes from the page of a browser that signed in. Browsers say where a
   * request comes from: one that another site has made does not count.
   */
  isSignedIn({ token }: MetricsAccess, headers: IncomingHttpHeaders): boolean {
    if (!token || !isOwnPage(headers)) return false;
    const [, end = '', signature = ''] = /^(\d{1,15})\.([\w-]{43})$/.exec(this.#read(headers.cookie)) ?? [];
    if (signature === '' || Number(end) <= this.#now()) return false;
    return timingSafeEqual(Buffer.from(signature, 'base64url'), this.#sign(token, Number(end)));
  }

  /** With this prefix browsers take the cookie only from this very host, over TLS. */
  get #name(): string {
    return this.#isSecure ? '__Host-cellnet' : 'cellnet';
  }

  #cookie(value: string, maxAgeSeconds: number): string {
    const secure = this.#isSecure ? '; Secure' : '';
    return `${this.#name}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${secure}`;
  }

  #read(header = ''): string {
    const start = `${this.#name}=`;
    const found = header.split(/; */).find((each) => each.startsWith(start));
    return found?.slice(start.length) ?? '';
  }

  #sign(token: Buffer | undefined, end: number): Buffer {
    return createHmac('sha256', this.#key)
      .update(token ?? '')
      .update(`.${end}`)
      .digest();
  }
}

/** Old browsers send no such header: their cookie is kept from other sites by SameSite. */
export function isOwnPage(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  return site === undefined || site === 'same-origin' || site === 'none';
}
