import { Counter, Gauge, type Registry } from 'prom-client';

/** Metrics of what the agent does for key `masqueradeForwarded`. */
export class MasqueradeMetrics {
  /** Whether the rule is in place; undefined while none is asked for. */
  inPlace: () => boolean | undefined = () => undefined;
  readonly #restored: Counter;
  readonly #failures: Counter;

  constructor(registers: Registry[]) {
    const inPlace = (): boolean | undefined => this.inPlace();
    new Gauge({
      name: 'cellnet_masquerade_in_place',
      help: '1 while the node masquerades the connections that it forwards to pods',
      registers,
      collect() {
        const now = inPlace();
        if (now === undefined) this.remove();
        else this.set(Number(now));
      },
    });
    this.#restored = new Counter({
      name: 'cellnet_masquerade_restored_total',
      help: 'How often somebody else had removed or changed the table of nftables, and the agent put it back',
      registers,
    });
    this.#failures = new Counter({
      name: 'cellnet_masquerade_failures_total',
      help: 'Looks at the table of nftables that failed; each is tried again',
      registers,
    });
  }

  restored(): void {
    this.#restored.inc();
  }

  failed(): void {
    this.#failures.inc();
  }
}
