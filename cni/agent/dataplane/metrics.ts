import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** From one changed flow to 5,000 Services with 10 endpoints each. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** What the agent looks up at each scrape. */
export interface DataplaneState {
  /** False until the agent has had all Services and endpoints from the API server. */
  readonly servicesKnown: boolean;
  readonly services: number;
  readonly frontends: number;
  readonly endpoints: number;
  readonly refused: number;
  readonly bridges: readonly {
    readonly bridge: string;
    /** Undefined as long as they were not counted. */
    readonly flows: number | undefined;
    readonly inPlace: boolean;
  }[];
}

/** Metrics of the bridges' programs. */
export class DataplaneMetrics {
  /** Returns the state; undefined while the agent programs no bridge. */
  state: () => DataplaneState | undefined = () => undefined;
  readonly #sent: Histogram;
  readonly #latency: Histogram;
  readonly #failures: Counter;
  readonly #differences: Counter;

  constructor(registers: Registry[]) {
    const gauge = (name: string, help: string, read: (state: DataplaneState) => number): Gauge => {
      const state = (): DataplaneState | undefined => this.state();
      return new Gauge({
        name,
        help,
        registers,
        collect() {
          const now = state();
          if (now) this.set(read(now));
          else this.remove();
        },
      });
    };
    gauge('cellnet_services_known', '1 once the agent has had all Services from the API server', (state) =>
      Number(state.servicesKnown),
    );
    gauge('cellnet_services', 'Services that the bridges of this node serve', (state) => state.services);
    gauge(
      'cellnet_service_frontends',
      'Virtual addresses with their ports that the bridges serve',
      (state) => state.frontends,
    );
    gauge(
      'cellnet_service_endpoints',
      'Endpoints that the bridges send connections to, each counted for its Service',
      (state) => state.endpoints,
    );
    gauge(
      'cellnet_services_refused',
      'Virtual addresses and endpoints that the agent refuses to serve, by the reasons in its log',
      (state) => state.refused,
    );
    this.#bridges(registers);
    this.#sent = new Histogram({
      name: 'cellnet_dataplane_update_duration_seconds',
      help: 'How long it took to bring a bridge up to date with what had changed',
      buckets: SECONDS,
      registers,
    });
    this.#latency = new Histogram({
      name: 'cellnet_service_latency_seconds',
      help: 'From an event of the API server until the bridges do what it says',
      buckets: SECONDS,
      registers,
    });
    this.#failures = new Counter({
      name: 'cellnet_dataplane_failures_total',
      help: 'Updates of a bridge that failed; each is tried again',
      registers,
    });
    this.#differences = new Counter({
      name: 'cellnet_dataplane_differences_total',
      help: 'How often our flows on a bridge were not as this agent had left them',
      registers,
    });
  }

  #bridges(registers: Registry[]): void {
    const bridges = (): DataplaneState['bridges'] => this.state()?.bridges ?? [];
    new Gauge({
      name: 'cellnet_dataplane_flows',
      help: 'Flows of cellnet that are on the bridge, learned ones not counted',
      labelNames: ['bridge'],
      registers,
      collect() {
        this.reset();
        for (const { bridge, flows } of bridges()) if (flows !== undefined) this.set({ bridge }, flows);
      },
    });
    new Gauge({
      name: 'cellnet_dataplane_in_place',
      help: '1 while the bridge does all that it is to do',
      labelNames: ['bridge'],
      registers,
      collect() {
        this.reset();
        for (const { bridge, inPlace } of bridges()) this.set({ bridge }, Number(inPlace));
      },
    });
  }

  sent(ms: number): void {
    this.#sent.observe(ms / 1_000);
  }

  /** @param ms from the API server's event to the flows */
  reached(ms: number): void {
    this.#latency.observe(ms / 1_000);
  }

  failed(): void {
    this.#failures.inc();
  }

  differed(): void {
    this.#differences.inc();
  }
}
