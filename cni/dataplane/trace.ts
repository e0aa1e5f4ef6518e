/** The answer of ovs-vswitchd to `ofproto/trace` (ovs-vswitchd(8)), read into values. Pure. */
import { TABLE } from './tables.ts';

/** One table that the packet came through. */
export interface TraceStep {
  readonly table: number;
  /** Name of a table of ours. */
  readonly name: string | undefined;
  /** Undefined where no flow of the table matched. */
  readonly flow: { readonly match: string; readonly priority: number; readonly cookie: bigint } | undefined;
  /** As Open vSwitch prints them, with its remarks. */
  readonly actions: readonly string[];
}

export interface Trace {
  /** In the order in which the packet passed them, through all its recirculations. */
  readonly steps: readonly TraceStep[];
  /** Fields of the packet as it left, such as `dl_dst` and `nw_dst`. */
  readonly packet: ReadonlyMap<string, string>;
  readonly isFlooded: boolean;
  /** Numbers of the datapath's ports that the packet left by. */
  readonly outputs: readonly number[];
}

const NAMES = new Map<number, string>(Object.entries(TABLE).map(([name, id]) => [id, name]));

/** @returns undefined for a text that is no trace */
export function parseTrace(text: string): Trace | undefined {
  const lines = text.split('\n');
  const steps: { -readonly [K in keyof TraceStep]: TraceStep[K] }[] = [];
  let [flow, left, actions] = ['', '', ''];
  for (const line of lines) {
    const [, key = '', rest = ''] = /^(Flow|Final flow|Datapath actions): (.*)$/.exec(line) ?? [];
    if (key === 'Flow') flow = rest;
    else if (key === 'Final flow') left = rest === 'unchanged' ? flow : rest;
    else if (key === 'Datapath actions') actions = rest;
    const step = stepIn(line);
    const last = steps.at(-1);
    if (step) steps.push(step);
    else if (last && isAction(line)) last.actions = [...last.actions, line.trim()];
  }
  if (steps.length === 0 || left === '') return undefined;
  return {
    steps,
    packet: fieldsIn(left),
    isFlooded: steps.some(({ actions: each }) => each.some((action) => action.endsWith('flooding'))),
    outputs: outputsIn(actions),
  };
}

/** Actions are indented. So are the lines that say how a recirculated packet comes back. */
const isAction = (line: string): boolean =>
  /^ {4}/.test(line) && !/^\s*(thaw|Resuming from table \d+)$/.test(line);

function stepIn(line: string): TraceStep | undefined {
  const [, number, what = ''] = /^\s*(\d{1,3})\. (.*)$/.exec(line) ?? [];
  if (number === undefined) return undefined;
  const table = Number(number);
  const [, match = '', priority, cookie = '0'] =
    /^(?:(.*), )?priority (\d+)(?:, cookie (0x[0-9a-f]+))?$/.exec(what) ?? [];
  const flow =
    priority === undefined ? undefined : { match, priority: Number(priority), cookie: BigInt(cookie) };
  return { table, name: NAMES.get(table), flow, actions: [] };
}

function fieldsIn(text: string): Map<string, string> {
  return new Map(
    text.split(',').map((field) => {
      const at = field.indexOf('=');
      return at < 0 ? [field, ''] : [field.slice(0, at), field.slice(at + 1)];
    }),
  );
}

/** Returns the numbers that stand alone: other actions have a name, and arguments in brackets. */
function outputsIn(actions: string): number[] {
  let text = actions;
  for (let before = ''; before !== text;) {
    before = text;
    text = text.replace(/\([^()]*\)/g, '');
  }
  return text.split(',').flatMap((each) => (/^\d+$/.test(each) ? [Number(each)] : []));
}
