import type { Fault } from './acts.ts';
import type { Edit } from './bundle.ts';
import { FAULTS_ONCE } from './mutations-once.ts';
import type { Setup } from './setup.ts';
import { FAULTS_OF_GUARDS } from './mutations-guards.ts';

/** A fault put into the programs, which the simulator must find. */
export interface Mutation {
  readonly name: string;
  /** What it breaks, in a sentence without its subject: "does this and that". */
  readonly breaks: string;
  readonly edits: readonly Edit[];
  /** The classes of faults with which it is searched; absent: those of today. */
  readonly faults?: readonly Fault[];
  /** What the clusters of its stories have in common. */
  readonly setup?: Partial<Setup>;
}

/** Every mutation: faults that the programs once had, and guards left out. */
export const MUTATIONS: readonly Mutation[] = [...FAULTS_ONCE, ...FAULTS_OF_GUARDS];
