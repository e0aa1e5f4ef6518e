import * as v from 'valibot';
import { isSameMachine, type Machine } from '../model/machine.ts';
import type { UnknownFields } from '../model/unknown-fields.ts';
import {
  count,
  decode,
  isoTime,
  schemaVersion,
  SCHEMA_VERSION,
  text,
  time,
  unknownFieldsOf,
} from './codec.ts';

/** One key for each node name: the machine that has it, and a count of its writes. */
export const MACHINES = 'machines/';

export const machineKey = (node: string): string => `${MACHINES}${node}`;

const machineFields = v.looseObject({
  id: text,
  productUuid: v.optional(text),
  macs: v.array(text),
  machineId: v.optional(text),
});

const machineRecord = v.looseObject({
  v: schemaVersion,
  generation: count,
  mark: text,
  at: v.optional(time),
  machine: v.optional(machineFields),
  bootId: v.optional(text),
  adoptedBy: v.optional(text),
});

/**
 * The machine that writes under a node's name. Every change of the node's blocks compares the whole
 * record and writes a new one. So what a change compares does not grow with the node's blocks, two
 * machines of one name cannot both write, and the mark shows whether an unanswered change took
 * place.
 */
export interface MachineRecord {
  /** Number of changes by this node. It never goes back, except when etcd was set back. */
  readonly generation: number;
  /** Random and different for each change. */
  readonly mark: string;
  /** When it was written, in milliseconds since 1970 by the writer's clock. For display only. */
  readonly at?: number;
  /** Absent when the writer did not know its machine. The next writer that does enters its own. */
  readonly machine?: Machine;
  /** Boot ID of the writer. */
  readonly bootId?: string;
  /** ID of another machine that an operator has let take over the name. */
  readonly adoptedBy?: string;
  readonly unknownFields?: UnknownFields;
}

export function encodeMachineRecord(record: MachineRecord): string {
  const { unknownFields, generation, mark, at, ...known } = record;
  const when = at === undefined ? {} : { at: isoTime(at) };
  return JSON.stringify({ v: SCHEMA_VERSION, generation, mark, ...when, ...known, ...unknownFields });
}

/**
 * Returns whether the machine may write under the node's name. From an adoption on only the
 * adopting machine may, even before its first write.
 * @param record undefined before the first write under the name
 * @param own undefined for a process that speaks for no machine; the others' records guard it
 */
export function ownsName(record: MachineRecord | undefined, own: Machine | undefined): boolean {
  if (!record || !own) return true;
  if (record.adoptedBy !== undefined) return record.adoptedBy === own.id;
  return !record.machine || isSameMachine(record.machine, own);
}

/** @throws IpamError `corrupt-record` */
export function decodeMachineRecord(key: string, value: string): MachineRecord {
  const decoded = decode(machineRecord, key, value);
  const { v: _, generation, mark, at, machine, bootId, adoptedBy, ...rest } = decoded;
  return {
    generation,
    mark,
    ...(at !== undefined && { at }),
    ...(machine && { machine: machineOf(machine) }),
    ...(bootId !== undefined && { bootId }),
    ...(adoptedBy !== undefined && { adoptedBy }),
    ...unknownFieldsOf(rest),
  };
}

function machineOf({ id, productUuid, macs, machineId }: v.InferOutput<typeof machineFields>): Machine {
  return {
    id,
    ...(productUuid !== undefined && { productUuid }),
    macs,
    ...(machineId !== undefined && { machineId }),
  };
}
