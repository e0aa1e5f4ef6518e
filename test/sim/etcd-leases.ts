interface Lease {
  readonly ttlMs: number;
  expiresAt: number;
}

/** The leases of the simulated etcd. */
export class Leases {
  readonly #now: () => number;
  readonly #leases = new Map<string, Lease>();
  #last = 0;

  /** @param now milliseconds of etcd's own clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  has(id: string): boolean {
    return this.#leases.has(id);
  }

  grant(ttlMs: number): string {
    const id = String(++this.#last);
    this.#leases.set(id, { ttlMs, expiresAt: this.#now() + ttlMs });
    return id;
  }

  /** Returns false if there is no such lease. */
  keepAlive(id: string): boolean {
    const lease = this.#leases.get(id);
    if (lease) lease.expiresAt = this.#now() + lease.ttlMs;
    return lease !== undefined;
  }

  /** Returns false if there is no such lease. */
  end(id: string): boolean {
    return this.#leases.delete(id);
  }

  /** Returns the leases whose time is over. */
  expired(): string[] {
    const now = this.#now();
    if (this.#leases.size === 0) return [];
    return [...this.#leases].flatMap(([id, { expiresAt }]) => (expiresAt <= now ? [id] : []));
  }

  /** Gives these leases their whole time again, and forgets the others. */
  renew(kept: ReadonlySet<string | undefined>): void {
    for (const id of [...this.#leases.keys()]) {
      if (kept.has(id)) this.keepAlive(id);
      else this.#leases.delete(id);
    }
  }
}
