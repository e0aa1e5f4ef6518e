import { keyOf } from './key.ts';
import { initialState, type Bounds, type State } from './state.ts';
import { isEmpty, stepsFrom, violationOf } from './steps.ts';

export interface Explored {
  readonly states: number;
  readonly transitions: number;
  /** The most steps by which a state is reached on the shortest way. */
  readonly depth: number;
  /** What breaks a rule first, and the shortest way there; undefined: nothing does. */
  readonly violation: { readonly what: string; readonly trace: readonly string[] } | undefined;
  /** False when the exploration ended at `mostStates`. */
  readonly complete: boolean;
}

/**
 * Explores every order of the steps, breadth first, until no new state is found or a rule is
 * broken. At the end it proves that from each state one is reached in which everything is free.
 * @param mostStates where it gives up
 */
export function explore(
  bounds: Bounds,
  {
    mostStates = Infinity,
    onLevel = () => undefined,
  }: { readonly mostStates?: number; readonly onLevel?: (depth: number, states: number) => void } = {},
): Explored {
  const first = initialState(bounds);
  const numbers = new Map<string, number>([[keyOf(first), 0]]);
  const ways = new Ways();
  const edges = new Edges();
  const empty: number[] = isEmpty(first) ? [0] : [];
  let level: { readonly number: number; readonly state: State }[] = [{ number: 0, state: first }];
  let depth = 0;
  const result = (what?: string, at = 0, last?: string): Explored => ({
    states: numbers.size,
    transitions: edges.count,
    depth,
    violation:
      what === undefined
        ? undefined
        : { what, trace: [...ways.to(at), ...(last === undefined ? [] : [last])] },
    complete: what === undefined && numbers.size < mostStates,
  });
  while (level.length > 0 && numbers.size < mostStates) {
    const next: typeof level = [];
    for (const { number, state } of level) {
      for (const { name, state: after } of stepsFrom(state, bounds)) {
        const broken = violationOf(state, after);
        if (broken !== undefined) return result(broken, number, name);
        const key = keyOf(after);
        let to = numbers.get(key);
        if (to === undefined) {
          to = numbers.size;
          numbers.set(key, to);
          ways.add(number, name);
          next.push({ number: to, state: after });
          if (isEmpty(after)) empty.push(to);
        }
        edges.add(number, to);
      }
    }
    if (next.length > 0) depth++;
    onLevel(depth, numbers.size);
    level = next;
  }
  const stuck = numbers.size < mostStates ? edges.firstNotReaching(empty, numbers.size) : undefined;
  return stuck === undefined ? result() : result('an address is never freed, whatever happens', stuck);
}

/** How each state was reached first. */
class Ways {
  readonly #from: number[] = [-1];
  readonly #names: string[] = [''];
  readonly #known = new Map<string, string>();

  add(from: number, name: string): void {
    this.#from.push(from);
    // One string for each name: there are few names, and many states.
    const known = this.#known.get(name) ?? name;
    this.#known.set(name, known);
    this.#names.push(known);
  }

  to(number: number): string[] {
    const names: string[] = [];
    for (let at = number; at > 0; at = this.#from[at] ?? 0) names.push(this.#names[at] ?? '');
    return names.reverse();
  }
}

/** The transitions, as pairs of numbers. */
class Edges {
  count = 0;
  #pairs = new Int32Array(1 << 16);

  add(from: number, to: number): void {
    if (2 * this.count === this.#pairs.length) {
      const larger = new Int32Array(2 * this.#pairs.length);
      larger.set(this.#pairs);
      this.#pairs = larger;
    }
    this.#pairs[2 * this.count] = from;
    this.#pairs[2 * this.count + 1] = to;
    this.count++;
  }

  /** Returns the first state from which none of the goals is reached. */
  firstNotReaching(goals: readonly number[], states: number): number | undefined {
    // The predecessors of all states in one array, those of each state side by side.
    const at = (array: Int32Array, i: number): number => array[i] ?? 0;
    const starts = new Int32Array(states + 1);
    for (let i = 0; i < this.count; i++)
      starts[at(this.#pairs, 2 * i + 1) + 1] = at(starts, at(this.#pairs, 2 * i + 1) + 1) + 1;
    for (let i = 0; i < states; i++) starts[i + 1] = at(starts, i + 1) + at(starts, i);
    const filled = starts.slice();
    const before = new Int32Array(this.count);
    for (let i = 0; i < this.count; i++) {
      const to = at(this.#pairs, 2 * i + 1);
      const place = at(filled, to);
      before[place] = at(this.#pairs, 2 * i);
      filled[to] = place + 1;
    }
    const reaches = new Uint8Array(states);
    const queue = [...goals];
    for (const goal of goals) reaches[goal] = 1;
    for (let goal = queue.pop(); goal !== undefined; goal = queue.pop()) {
      for (let i = at(starts, goal); i < at(starts, goal + 1); i++) {
        const from = before[i] ?? 0;
        if (reaches[from] === 1) continue;
        reaches[from] = 1;
        queue.push(from);
      }
    }
    const found = reaches.indexOf(0);
    return found < 0 ? undefined : found;
  }
}
