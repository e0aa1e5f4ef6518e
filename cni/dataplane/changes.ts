import type { Flow, Modification, SelectGroup } from '../openflow/program.ts';
import { groupModifications } from '../openflow/groups.ts';
import { actionsText, placeOf } from './text.ts';

/** Returns whether two flows of one place do the same. */
const isSame = (a: Flow, b: Flow): boolean =>
  a.cookie === b.cookie &&
  a.idleSeconds === b.idleSeconds &&
  actionsText(a.actions) === actionsText(b.actions);

const byPlace = (flows: readonly Flow[]): Map<string, Flow> =>
  new Map(flows.map((flow) => [placeOf(flow), flow]));

const lasting = (flows: ReadonlyMap<string, Flow>): number =>
  [...flows.values()].filter(({ idleSeconds }) => idleSeconds === undefined).length;

/**
 * Changes of the bridge that wait to be sent. A later one of the same flow or group replaces an
 * earlier one.
 */
export class Changes {
  readonly #groups = new Map<number, SelectGroup | undefined>();
  readonly #flows = new Map<string, { readonly flow: Flow; readonly isThere: boolean }>();
  #grown = 0;

  /** Changes from the flows that were there to those that are to be there. */
  flows(before: readonly Flow[], after: readonly Flow[]): void {
    const there = byPlace(before);
    const wanted = byPlace(after);
    this.#grown += lasting(wanted) - lasting(there);
    for (const [place, flow] of there) {
      const now = wanted.get(place);
      if (now === undefined) this.#flows.set(place, { flow, isThere: false });
      else if (isSame(flow, now)) wanted.delete(place);
    }
    for (const [place, flow] of wanted) this.#flows.set(place, { flow, isThere: true });
  }

  /**
   * Returns how many more flows the bridge has after the changes since the last call. Flows that go
   * by themselves do not count.
   */
  takeGrown(): number {
    const grown = this.#grown;
    this.#grown = 0;
    return grown;
  }

  /** @param group undefined: it is to go */
  group(id: number, group: SelectGroup | undefined): void {
    this.#groups.set(id, group);
  }

  /**
   * Returns the changes in an order that never leaves a flow without its group, and forgets them.
   * A switch that deletes a group deletes the flows that use it.
   */
  take(): Modification[] {
    const groups = [...this.#groups];
    const flows = [...this.#flows.values()];
    this.#groups.clear();
    this.#flows.clear();
    return [
      ...groups.flatMap(([, group]) => (group ? groupModifications(group) : [])),
      ...flows.map(({ flow, isThere }): Modification =>
        isThere ? { kind: 'put-flow', flow } : { kind: 'delete-flow', flow },
      ),
      ...groups.flatMap(([id, group]): Modification[] => (group ? [] : [{ kind: 'delete-group', id }])),
    ];
  }

  clear(): void {
    this.#grown = 0;
    this.#groups.clear();
    this.#flows.clear();
  }
}
