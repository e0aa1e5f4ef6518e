import { formatAddress } from '../../ipam/model/address.ts';
import { usedSlots } from '../../ipam/model/block.ts';
import type { BlockReader, ChangedAllocation } from './changes.ts';
import type { Keys } from './etcd-keys.ts';
import type { Violation } from './invariants.ts';
import type { Machine } from './machine.ts';

/**
 * Containers whose calls have ended, as their runtime knows it: a failed ADD and a DEL that
 * succeeded leave no address behind, unless the node has a deferred teardown that will release it.
 */
export class EndedContainers {
  readonly #machines = new Map<string, Machine>();

  begin(containerId: string): void {
    this.#machines.delete(containerId);
  }

  end(containerId: string, machine: Machine): void {
    this.#machines.set(containerId, machine);
  }

  /** Returns what a transaction gave to a container whose calls had ended. */
  givenTo(given: readonly ChangedAllocation[]): Violation | undefined {
    const found = given.find(({ slot }) => this.#isForgotten(slot.owner.containerId));
    return found && forgotten(found.address, found.slot.owner.containerId);
  }

  /** Returns what etcd has for the container, whose calls have ended. */
  leftFor(containerId: string, keys: Keys, reader: BlockReader): Violation | undefined {
    if (!this.#isForgotten(containerId)) return undefined;
    const [left] = reader
      .all(keys)
      .flatMap((block) => usedSlots(block, ({ owner }) => owner.containerId === containerId));
    return left && forgotten(formatAddress(left.address), containerId);
  }

  #isForgotten(containerId: string): boolean {
    const machine = this.#machines.get(containerId);
    return machine !== undefined && machine.up && !machine.disk.defers(containerId);
  }
}

const forgotten = (address: string, containerId: string): Violation => ({
  kind: 'forgotten',
  text: `${address} is of ${containerId}, whose calls have ended, and its node knows of no teardown`,
  about: [address, containerId],
});
