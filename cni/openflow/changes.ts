/**
 * Changes of a bridge's flows, groups and meters as messages of OpenFlow 1.5 (ONF TS-025, section
 * 7.3.4). Pure.
 */
import { writeActions } from './actions.ts';
import { written, type Writer } from './bytes.ts';
import { writeMatch } from './fields.ts';
import { writeFlush } from './flush.ts';
import { GROUP_COMMAND, writeGroupMod } from './groups.ts';
import { MESSAGE, writeMessage } from './header.ts';
import type { Flow, Flush, Meter, Modification } from './program.ts';

const NO_BUFFER = 0xffffffff;
const ANY = 0xffffffff;
const ALL_TABLES = 0xff;
const WHOLE_COOKIE = 0xffffffffffffffffn;
/** OFPFC_… */
const FLOW_COMMAND = { add: 0, delete: 3, deleteStrict: 4 } as const;
/** OFPMC_… */
const METER_COMMAND = { add: 0, modify: 1, delete: 2 } as const;
/** OFPMF_… */
const METER_FLAG = { kbps: 1, packets: 2, burst: 4 } as const;

/** @throws RangeError for a value that its place has no room for */
export function writeChange(to: Writer, change: Modification | Flush, xid: number): void {
  switch (change.kind) {
    case 'put-flow':
      writeFlowMod(to, xid, FLOW_COMMAND.add, change.flow, 0n);
      return;
    case 'delete-flow':
      writeFlowMod(to, xid, FLOW_COMMAND.deleteStrict, { ...change.flow, actions: [] }, WHOLE_COOKIE);
      return;
    case 'delete-flows': {
      const all = { table: ALL_TABLES, priority: 0, cookie: change.cookie, match: [], actions: [] };
      writeFlowMod(to, xid, FLOW_COMMAND.delete, all, change.mask);
      return;
    }
    case 'put-group':
      writeGroupMod(to, xid, GROUP_COMMAND.addOrModify, change.group);
      return;
    case 'add-buckets':
      writeGroupMod(to, xid, GROUP_COMMAND.insertBucket, change);
      return;
    case 'delete-group':
      writeGroupMod(to, xid, GROUP_COMMAND.delete, { id: change.id, buckets: [] });
      return;
    case 'add-meter':
      writeMeterMod(to, xid, METER_COMMAND.add, change.meter);
      return;
    case 'change-meter':
      writeMeterMod(to, xid, METER_COMMAND.modify, change.meter);
      return;
    case 'delete-meter':
      writeMeterMod(to, xid, METER_COMMAND.delete, { id: change.id });
      return;
    case 'flush-connections':
      writeFlush(to, change, xid);
      return;
  }
}

/** Returns the change's message. */
export const encodeChange = (change: Modification | Flush, xid: number): Buffer =>
  written((to) => writeChange(to, change, xid));

/** @param cookieMask of the flows that a deletion is for */
function writeFlowMod(to: Writer, xid: number, command: number, flow: Flow, cookieMask: bigint): void {
  writeMessage(to, MESSAGE.flowMod, xid, () => {
    to.u64(flow.cookie);
    to.u64(cookieMask);
    to.u8(flow.table);
    to.u8(command);
    to.u16(flow.idleSeconds ?? 0);
    to.zeros(2);
    to.u16(flow.priority);
    to.u32(NO_BUFFER);
    to.u32(ANY);
    to.u32(ANY);
    to.zeros(4);
    writeMatch(to, flow.match);
    if (flow.actions.length > 0) writeApply(to, flow);
  });
}

/** OFPIT_APPLY_ACTIONS */
function writeApply(to: Writer, { actions }: Flow): void {
  const APPLY_ACTIONS = 4;
  to.part(2, () => {
    to.u16(APPLY_ACTIONS);
    to.u16(0);
    to.zeros(4);
    writeActions(to, actions);
  });
}

/** @param meter only its ID for a deletion */
function writeMeterMod(
  to: Writer,
  xid: number,
  command: number,
  meter: Meter | { readonly id: number },
): void {
  const DROP = 1;
  writeMessage(to, MESSAGE.meterMod, xid, () => {
    to.u16(command);
    to.u16('unit' in meter ? METER_FLAG[meter.unit] | METER_FLAG.burst : METER_FLAG.kbps);
    to.u32(meter.id);
    if (!('unit' in meter)) return;
    to.part(2, () => {
      to.u16(DROP);
      to.u16(0);
      to.u32(meter.rate);
      to.u32(meter.burst);
      to.zeros(4);
    });
  });
}
