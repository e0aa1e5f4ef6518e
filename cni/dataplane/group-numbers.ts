import { FIRST_GROUP } from './tables.ts';

/** Numbers of groups. One that is free again is used again last. */
export class GroupNumbers {
  #next = FIRST_GROUP;
  readonly #free: number[] = [];

  take(): number {
    return this.#free.shift() ?? this.#next++;
  }

  giveBack(id: number): void {
    this.#free.push(id);
  }
}
