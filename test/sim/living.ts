/** A pod's interface that carries an address. */
export interface Carrier {
  readonly machine: string;
  readonly containerId: string;
  readonly ifname: string;
}

/**
 * The truth about addresses: which interfaces in living namespaces carry them, on all machines. No
 * program sees it; the invariants judge by it.
 */
export class Living {
  readonly #carriers = new Map<string, Set<Carrier>>();
  readonly #onDouble: (address: string, carriers: readonly Carrier[]) => void;

  /** @param onDouble called when an address gets a second carrier */
  constructor(onDouble: (address: string, carriers: readonly Carrier[]) => void) {
    this.#onDouble = onDouble;
  }

  add(address: string, carrier: Carrier): void {
    const carriers = this.#carriers.get(address) ?? new Set();
    carriers.add(carrier);
    this.#carriers.set(address, carriers);
    if (carriers.size > 1) this.#onDouble(address, [...carriers]);
  }

  remove(address: string, carrier: Carrier): void {
    this.#carriers.get(address)?.delete(carrier);
  }

  /** Whether the container's interface carries an address. */
  carriesAny(containerId: string): boolean {
    return [...this.#carriers.values()].some((carriers) =>
      [...carriers].some((carrier) => carrier.containerId === containerId),
    );
  }

  carriersOf(address: string): readonly Carrier[] {
    return [...(this.#carriers.get(address) ?? [])];
  }
}
