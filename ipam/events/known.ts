import { formatCidr, formatAddress } from '../model/address.ts';
import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import type { Rule } from '../model/rule.ts';
import { ALIVE, decodeAliveRecord } from '../records/alive-record.ts';
import { BLOCKS, NODES, RANGES } from '../records/keys.ts';
import { MACHINES } from '../records/machine-record.ts';
import { decodeDrainMark, isDrainKey } from '../records/node-record.ts';
import { lazyBlock } from '../records/lazy-block.ts';
import { decodeBlockQuickly } from '../records/quick-block.ts';
import { decodeRange, encodeRange } from '../records/range-record.ts';
import { decodeRule, encodeRule, RULES, RULES_CHANGED } from '../records/rule-record.ts';
import { decodeSetBack, SET_BACK } from '../records/set-back-record.ts';
import { readRecord, type Read } from '../records/unreadable.ts';
import { eventsOfBlock } from './block-events.ts';
import { happening, type Happening } from './event.ts';
import { objectOf, type Notes } from './notes.ts';

/** A record of which events tell. */
export type Known =
  | { readonly kind: 'range'; readonly range: Range }
  | { readonly kind: 'block'; readonly block: Block }
  | { readonly kind: 'rule'; readonly rule: Rule }
  | { readonly kind: 'draining'; readonly node: string; readonly since: number }
  | { readonly kind: 'alive'; readonly node: string; readonly since: number; readonly machine: string }
  /** The machine that may write under the node's name. */
  | { readonly kind: 'machine'; readonly node: string; readonly machine: string | undefined }
  | { readonly kind: 'set-back'; readonly at: number; readonly node: string; readonly reason: string };

/** Prefixes of the keys that {@link isTold} knows. */
export const TOLD_PREFIXES = [RANGES, BLOCKS, RULES, NODES, ALIVE, MACHINES, SET_BACK] as const;

/** Whether events tell of changes of the key. */
export function isTold(key: string): boolean {
  if (key.startsWith(NODES)) return isDrainKey(key);
  return key !== RULES_CHANGED && TOLD_PREFIXES.some((prefix) => key.startsWith(prefix));
}

/** Decodes the record of a key of which events tell. */
export const readKnown = (key: string, value: string): Read<Known> => readRecord({ key, value }, decodeKnown);

function decodeKnown(key: string, value: string): Known {
  const [, node = ''] = key.split('/');
  if (key.startsWith(BLOCKS))
    return { kind: 'block', block: lazyBlock(key, value) ?? decodeBlockQuickly(key, value) };
  if (key.startsWith(RANGES)) return { kind: 'range', range: decodeRange(key, value) };
  if (key.startsWith(RULES)) return { kind: 'rule', rule: decodeRule(key, value) };
  if (key.startsWith(NODES)) return { kind: 'draining', node, since: decodeDrainMark(key, value) };
  if (key.startsWith(MACHINES)) return { kind: 'machine', node, machine: machineOf(value) };
  if (key === SET_BACK) return { kind: 'set-back', ...decodeSetBack(key, value) };
  const { since, machine } = decodeAliveRecord(key, value);
  return { kind: 'alive', node, since, machine };
}

/** Each change of a node's blocks replaces its machine record: only its name is read, unchecked. */
function machineOf(value: string): string | undefined {
  const record = objectOf(value);
  const machine = record?.['machine'];
  const id: unknown =
    record?.['adoptedBy'] ??
    (typeof machine === 'object' && machine !== null && 'id' in machine && machine.id);
  return typeof id === 'string' ? id : undefined;
}

/**
 * Returns what happened between two states of a record.
 * @param notes what the same transaction says about releases
 */
export function eventsOf(before: Known | undefined, after: Known | undefined, notes?: Notes): Happening[] {
  const known = after ?? before;
  if (!known) return [];
  switch (known.kind) {
    case 'block':
      return eventsOfBlock(blockOf(before), blockOf(after), notes);
    case 'range':
      return changed(
        before?.kind === 'range' ? encodeRange(before.range) : undefined,
        after && encodeRange(known.range),
        {
          types: ['range-added', 'range-changed', 'range-removed'],
          at: undefined,
          more: rangeJson(known.range),
        },
      );
    case 'rule':
      return changed(
        before?.kind === 'rule' ? encodeRule(before.rule) : undefined,
        after && encodeRule(known.rule),
        {
          types: ['rule-added', 'rule-changed', 'rule-removed'],
          at: after && known.rule.addedAt,
          more: ruleJson(known.rule),
        },
      );
    case 'draining':
      return changed(before && 'draining', after && 'draining', {
        types: ['node-draining', undefined, 'node-undrained'],
        at: after && known.since,
        more: { node: known.node },
      });
    case 'alive':
      return changed(before?.kind === 'alive' ? before.machine : undefined, after && known.machine, {
        types: ['node-alive', 'node-alive', 'node-silent'],
        at: after && known.since,
        more: { node: known.node, machine: known.machine },
      });
    case 'machine':
      return changed(
        before?.kind === 'machine' ? (before.machine ?? '') : undefined,
        after && (known.machine ?? ''),
        {
          types: ['node-joined', 'node-replaced', 'node-removed'],
          at: undefined,
          more: { node: known.node, ...(known.machine !== undefined && { machine: known.machine }) },
        },
      );
    case 'set-back':
      return changed(before?.kind === 'set-back' ? String(before.at) : undefined, after && String(known.at), {
        types: ['set-back', 'set-back', undefined],
        at: known.at,
        more: { node: known.node, reason: known.reason },
      });
  }
}

export const blockOf = (known: Known | undefined): Block | undefined =>
  known?.kind === 'block' ? known.block : undefined;

interface Telling {
  /** For a record that came, changed, went. */
  readonly types: readonly [
    Happening['type'] | undefined,
    Happening['type'] | undefined,
    Happening['type'] | undefined,
  ];
  readonly at: number | undefined;
  readonly more: Partial<Happening>;
}

/** @param before what tells two states apart; undefined: there is no record */
function changed(
  before: string | undefined,
  after: string | undefined,
  { types, at, more }: Telling,
): Happening[] {
  const [came, changedTo, went] = types;
  if (before === after) return [];
  const type = before === undefined ? came : after === undefined ? went : changedTo;
  return type === undefined ? [] : [happening(type, at, more)];
}

const rangeJson = ({ name, cidr, gateway, vlan, state }: Range): Partial<Happening> => ({
  range: name,
  cidr: formatCidr(cidr),
  gateway: gateway ? formatAddress(gateway) : null,
  vlan: vlan ?? null,
  state,
});

const ruleJson = ({ name, namespace }: Rule): Partial<Happening> => ({
  rule: name,
  pod: { namespace, name: null, uid: null },
});
