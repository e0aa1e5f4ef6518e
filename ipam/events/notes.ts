import { RELEASE_REASONS } from '../model/lifetime.ts';
import { HISTORY } from '../records/keys.ts';
import { partsOfHistoryKey } from '../records/history-record.ts';
import type { Happening } from './event.ts';

/** A lifetime that has ended, as the history tells it. For display: it is read without a schema. */
export interface LifetimeNote {
  readonly ip: string;
  readonly range: string;
  readonly node: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly network: string;
  readonly podNamespace?: string;
  readonly podName?: string;
  readonly podUid?: string;
  readonly allocatedAt: string;
  readonly releasedAt: string;
  readonly why: string;
  readonly detail?: string;
  readonly by?: string;
  readonly conflictMac?: string;
}

const TEXTS = ['ip', 'node', 'allocatedAt', 'releasedAt', 'why'] as const;
const OWNERS = ['containerId', 'ifname', 'network'] as const;

/** Returns undefined for anything but a lifetime: a bad record of the history harms nothing. */
export function noteOf(key: string, value: string): LifetimeNote | undefined {
  if (!key.startsWith(HISTORY)) return undefined;
  const record = objectOf(value);
  const owner = record?.['owner'];
  if (!record || !isObject(owner)) return undefined;
  const isText = (from: Json, name: string): boolean => typeof from[name] === 'string' && from[name] !== '';
  if (!TEXTS.every((name) => isText(record, name)) || !OWNERS.every((name) => isText(owner, name)))
    return undefined;
  if (!RELEASE_REASONS.some((why) => why === record['why'])) return undefined;
  const optional = (from: Json, name: string): object => (isText(from, name) ? { [name]: from[name] } : {});
  return {
    ...{ range: partsOfHistoryKey(key).range },
    ...Object.fromEntries(TEXTS.map((name) => [name, record[name]])),
    ...Object.fromEntries(OWNERS.map((name) => [name, owner[name]])),
    ...optional(owner, 'podNamespace'),
    ...optional(owner, 'podName'),
    ...optional(owner, 'podUid'),
    ...optional(record, 'detail'),
    ...optional(record, 'by'),
    ...optional(record, 'conflictMac'),
  } as unknown as LifetimeNote;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns the JSON object; undefined for anything else. */
export function objectOf(value: string): Json | undefined {
  try {
    const json: unknown = JSON.parse(value);
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

const idOf = (of: {
  readonly ip: string | null;
  readonly containerId: string | null;
  readonly ifname: string | null;
}): string => `${of.ip ?? ''} ${of.containerId ?? ''} ${of.ifname ?? ''}`;

/** What a transaction says about the lifetimes that it ends. */
export class Notes {
  readonly #notes = new Map<string, LifetimeNote>();

  constructor(notes: readonly LifetimeNote[] = []) {
    for (const note of notes) this.#notes.set(idOf(note), note);
  }

  /** Adds to a release why it happened, and who did it. */
  explain(event: Happening): Happening {
    const note = this.#notes.get(idOf(event));
    if (note?.allocatedAt !== event.allocatedAt || !note) return event;
    return { ...event, at: event.at ?? note.releasedAt, ...causeOf(note) };
  }
}

export const causeOf = ({ why, detail, by, conflictMac }: LifetimeNote): Partial<Happening> => ({
  ...{ why },
  ...(detail !== undefined && { detail }),
  ...(by !== undefined && { by }),
  ...(conflictMac !== undefined && { conflictMac }),
});
