import { describeMachine } from '../../ipam/model/machine.ts';
import type { NameView } from '../../ipam/node/name-records.ts';
import { ALIVE_TTL_MS } from '../../ipam/records/alive-record.ts';

/**
 * How long nothing may happen under a name until its machine counts as silent, in milliseconds. As
 * long as the key of an agent outlives the agent.
 */
export const SILENT_AFTER_MS = ALIVE_TTL_MS;

/** One look at a node's name. */
export interface Look {
  readonly view: NameView;
  /** Milliseconds since an arbitrary start. */
  readonly at: number;
}

/** The looks that count, of all that were made. */
export interface Watched {
  readonly first: Look;
  /** The first look since which nothing has happened under the name. */
  readonly silentSince: Look;
  readonly last: Look;
}

/** Adds a look. @param machine ID of the machine that is to have the name */
export function watched(before: Watched | undefined, look: Look, machine: string): Watched {
  if (!before) return { first: look, silentSince: look, last: look };
  const { first, silentSince, last } = before;
  const isSilent = !speaks(last, machine) && !speaks(look, machine) && valueOf(last) === valueOf(look);
  return { first, silentSince: isSilent ? silentSince : look, last: look };
}

export type AdoptionVerdict =
  /** No machine has written under the name, so that any may. */
  | { readonly kind: 'nothing' }
  /** The machine has the name, or was given it. */
  | { readonly kind: 'already' }
  /** The machine that has the name has shown life, or was not watched for long enough. */
  | { readonly kind: 'may-live'; readonly why: string }
  | { readonly kind: 'silent' };

/**
 * Judges whether the machine may take over the name: the one that has it must be silent at two
 * looks so far apart that an agent of it would have shown itself.
 */
export function judgeAdoption({ first, silentSince, last }: Watched, machine: string): AdoptionVerdict {
  const { node, owner, alive } = last.view;
  if (!owner) return { kind: 'nothing' };
  const { machine: now, adoptedBy, generation } = owner.record;
  if ((adoptedBy ?? now?.id) === machine) return { kind: 'already' };
  if (alive && speaks(last, machine)) {
    const since = new Date(alive.record.since).toISOString();
    const why = `machine ${alive.record.machine} is alive under node name '${node}' since ${since}`;
    return { kind: 'may-live', why };
  }
  const silentMs = last.at - silentSince.at;
  if (silentMs >= SILENT_AFTER_MS) return { kind: 'silent' };
  const writes = generation - (first.view.owner?.record.generation ?? 0);
  const wrote = writes > 0 ? `; it has changed its blocks ${writes} times meanwhile` : '';
  const seconds = Math.floor(silentMs / 1000);
  const why = `${ownerText(last.view)} is silent under node name '${node}' for only ${seconds} s${wrote}`;
  return { kind: 'may-live', why };
}

/** An agent of the adopting machine is no life of the one that has the name. */
function speaks({ view: { alive } }: Look, machine: string): boolean {
  return alive !== undefined && alive.record.machine !== machine;
}

const valueOf = ({ view: { owner } }: Look): string | undefined => owner?.entry.value;

/** Returns the machine that has the name, for a message. */
export function ownerText({ owner }: NameView): string {
  const { machine, adoptedBy } = owner?.record ?? {};
  if (adoptedBy !== undefined) return `machine ${adoptedBy}`;
  return machine ? describeMachine(machine) : 'a machine that did not name itself';
}
