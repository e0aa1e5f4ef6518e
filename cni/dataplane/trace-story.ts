/** What a trace means, in words. docs/dataplane.md has the picture of the tables. Pure. */
import { OUR_COOKIE, REFUSE } from './tables.ts';
import type { Trace, TraceStep } from './trace.ts';

/** What the bridge does with the packet in the end. */
export type Outcome = 'forwarded' | 'flooded' | 'refused' | 'dropped';

export interface StoryStep {
  /** Name of the table, or its number if it is not ours. */
  readonly table: string;
  readonly text: string;
}

/** An address with its port, as Open vSwitch prints them. */
export interface TracedEnd {
  readonly address: string;
  readonly port: number | undefined;
}

export interface Story {
  readonly steps: readonly StoryStep[];
  readonly outcome: Outcome;
  /** The endpoint that the connection got. Undefined: it is to no Service, or was not let in. */
  readonly endpoint: TracedEnd | undefined;
  /** Whether the endpoint is one of several, by a hash of the connection. */
  readonly isExample: boolean;
  /** The source that the server sees, where it is not the pod's own. */
  readonly seenAs: string | undefined;
  /** The MAC that the packet leaves with. */
  readonly mac: string | undefined;
}

export function tellTrace(trace: Trace): Story {
  const actions = trace.steps.flatMap(({ actions: each }) => each);
  const nats = actions.flatMap((action) => natIn(action) ?? []);
  return {
    steps: trace.steps.map((step) => ({ table: step.name ?? String(step.table), text: meaningOf(step) })),
    outcome: outcomeOf(trace, actions),
    endpoint: nats.find(({ side }) => side === 'dst'),
    isExample: actions.some((action) => /using bucket \d+/.test(action)),
    seenAs: nats.find(({ side }) => side === 'src')?.address,
    mac: trace.packet.get('dl_dst'),
  };
}

const REFUSAL = [...REFUSE].map((byte) => byte.toString(16)).join('.');
const isRefusal = (action: string): boolean =>
  action.startsWith('controller(') && action.includes(`userdata=${REFUSAL}`);

function outcomeOf({ outputs, isFlooded }: Trace, actions: readonly string[]): Outcome {
  if (actions.some(isRefusal)) return 'refused';
  if (outputs.length === 0) return 'dropped';
  return isFlooded ? 'flooded' : 'forwarded';
}

function natIn(action: string): (TracedEnd & { readonly side: string }) | undefined {
  const [, side, ipv6, ipv4, only, port] =
    /^nat\((src|dst)=(?:\[([0-9a-f:.]+)\]|([0-9.]+)|([0-9a-f:]+))(?::(\d+))?\)$/.exec(action) ?? [];
  const address = ipv6 ?? ipv4 ?? only;
  if (side === undefined || address === undefined) return undefined;
  return { side, address, port: port === undefined ? undefined : Number(port) };
}

/** Meanings of a table's flows: by their priority, else of any flow, and without a flow. */
interface Meaning {
  readonly by?: Readonly<Record<number, string>>;
  readonly flow: string;
  readonly none?: string;
}

const MEANINGS: Readonly<Record<string, Meaning>> = {
  classify: { by: { 1: "from a port that is no pod's" }, flow: 'from a pod of this bridge' },
  source: {
    flow: 'the pod sends from an address of its own',
    none: 'the pod sends from an address that is not its own',
  },
  admitted: { flow: 'the pod may send it' },
  service: {
    by: {
      300: 'an answer of the pod to itself',
      100: 'to a port of a Service: connection tracking is asked for the connection',
      90: 'to the cluster address of a Service, and to none of its ports',
    },
    flow: 'to no Service',
  },
  otherPort: {
    by: { 200: 'an error about a packet of a Service', 100: 'the Service has no such port' },
    flow: 'a later fragment',
    none: 'a cluster address answers nothing else, no echo request either',
  },
  balance: {
    by: { 200: 'the connection has its endpoint already', 10: 'the connection has its endpoint already' },
    flow: 'a new connection: it gets an endpoint',
  },
  affinity: { flow: 'the pod had an endpoint before', none: 'the pod had no endpoint before' },
  sticky: { by: { 200: 'the pod keeps this endpoint' }, flow: 'the pod gets an endpoint by its address' },
  local: { by: { 0: 'for no pod of this bridge' }, flow: 'for a pod of this bridge' },
  reply: { by: { 0: 'from no endpoint of a Service' }, flow: 'perhaps the answer of an endpoint' },
  restored: { flow: 'an answer has the address of the Service again' },
  endpoint: {
    by: {
      300: 'the endpoint is the pod itself',
      250: 'the endpoint is a pod of this bridge on the same VLAN',
      200: 'the endpoint is a pod of another node on the same VLAN: its MAC follows from its address',
    },
    flow: 'the endpoint is behind the gateway',
  },
  hairpin: { flow: 'back to the pod that it is from' },
  hairpinReply: { flow: 'an answer of the pod to itself' },
};

function meaningOf({ name, flow, actions }: TraceStep): string {
  const meaning = name === undefined ? undefined : MEANINGS[name];
  if (flow && (flow.cookie & OUR_COOKIE.mask) !== OUR_COOKIE.cookie)
    return `a flow that is not cellnet's (cookie 0x${flow.cookie.toString(16)}, ${flow.match || 'every packet'})`;
  if (!meaning) return flow ? 'a flow of cellnet' : 'no flow';
  if (!flow) return meaning.none ?? 'no flow matches';
  if (name === 'balance' && actions.some(isRefusal)) return 'a new connection: the Service has no endpoint';
  if (name === 'balance' && actions.includes('drop'))
    return 'a new connection: the sources that the Service admits do not have the pod';
  return meaning.by?.[flow.priority] ?? meaning.flow;
}
