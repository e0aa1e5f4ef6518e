/** Errors that a switch answers with (ONF TS-025, section 7.5.4). Pure. */

export interface SwitchError {
  /** OFPET_… */
  readonly type: number;
  readonly code: number;
  /** The name that Open vSwitch has for the code, or its numbers. */
  readonly name: string;
}

/** OFPET_EXPERIMENTER */
const EXPERIMENTER = 0xffff;

/** Open vSwitch's names of each type's codes, from 0 on. */
const NAMES: Readonly<Record<number, readonly [prefix: string, ...codes: string[]]>> = {
  0: ['OFPHFC', 'INCOMPATIBLE', 'EPERM'],
  1: [
    'OFPBRC',
    ...['BAD_VERSION', 'BAD_TYPE', 'BAD_STAT', 'BAD_VENDOR', 'BAD_SUBTYPE', 'EPERM', 'BAD_LEN'],
    ...['BUFFER_EMPTY', 'BUFFER_UNKNOWN', 'BAD_TABLE_ID', 'IS_SECONDARY', 'BAD_PORT', 'BAD_PACKET'],
  ],
  2: [
    'OFPBAC',
    ...['BAD_TYPE', 'BAD_LEN', 'BAD_VENDOR', 'BAD_VENDOR_TYPE', 'BAD_OUT_PORT', 'BAD_ARGUMENT', 'EPERM'],
    ...['TOO_MANY', 'BAD_QUEUE', 'BAD_OUT_GROUP', 'MATCH_INCONSISTENT', 'UNSUPPORTED_ORDER', 'BAD_TAG'],
    ...['BAD_SET_TYPE', 'BAD_SET_LEN', 'BAD_SET_ARGUMENT', 'BAD_SET_MASK'],
  ],
  3: [
    'OFPBIC',
    ...['UNKNOWN_INST', 'UNSUP_INST', 'BAD_TABLE_ID', 'UNSUP_METADATA', 'UNSUP_METADATA_MASK'],
    ...['BAD_EXPERIMENTER', 'BAD_EXP_TYPE', 'BAD_LEN', 'EPERM', 'DUP_INST'],
  ],
  4: [
    'OFPBMC',
    ...['BAD_TYPE', 'BAD_LEN', 'BAD_TAG', 'BAD_DL_ADDR_MASK', 'BAD_NW_ADDR_MASK', 'BAD_WILDCARDS'],
    ...['BAD_FIELD', 'BAD_VALUE', 'BAD_MASK', 'BAD_PREREQ', 'DUP_FIELD', 'EPERM'],
  ],
  5: [
    'OFPFMFC',
    ...['UNKNOWN', 'TABLE_FULL', 'BAD_TABLE_ID', 'OVERLAP', 'EPERM', 'BAD_TIMEOUT', 'BAD_COMMAND'],
    'BAD_FLAGS',
  ],
  6: [
    'OFPGMFC',
    ...['GROUP_EXISTS', 'INVALID_GROUP', 'WEIGHT_UNSUPPORTED', 'OUT_OF_GROUPS', 'OUT_OF_BUCKETS'],
    ...['CHAINING_UNSUPPORTED', 'WATCH_UNSUPPORTED', 'LOOP', 'UNKNOWN_GROUP', 'CHAINED_GROUP', 'BAD_TYPE'],
    ...['BAD_COMMAND', 'BAD_BUCKET', 'BAD_WATCH', 'EPERM', 'UNKNOWN_BUCKET', 'BUCKET_EXISTS'],
  ],
  12: [
    'OFPMMFC',
    ...['UNKNOWN', 'METER_EXISTS', 'INVALID_METER', 'UNKNOWN_METER', 'BAD_COMMAND', 'BAD_FLAGS', 'BAD_RATE'],
    ...['BAD_BURST', 'BAD_BAND', 'BAD_BAND_VALUE', 'OUT_OF_METERS', 'OUT_OF_BANDS'],
  ],
  14: [
    'OFPBPC',
    ...['BAD_TYPE', 'BAD_LEN', 'BAD_VALUE', 'TOO_MANY', 'DUP_TYPE', 'BAD_EXPERIMENTER', 'BAD_EXP_TYPE'],
    ...['BAD_EXP_VALUE', 'EPERM'],
  ],
  17: [
    'OFPBFC',
    ...['UNKNOWN', 'EPERM', 'BAD_ID', 'BUNDLE_EXIST', 'BUNDLE_CLOSED', 'OUT_OF_BUNDLES', 'BAD_TYPE'],
    ...['BAD_FLAGS', 'MSG_BAD_LEN', 'MSG_BAD_XID', 'MSG_UNSUP', 'MSG_CONFLICT', 'MSG_TOO_MANY'],
    ...['MSG_FAILED', 'TIMEOUT', 'BUNDLE_IN_PROGRESS'],
  ],
};

/** @param body of an OFPT_ERROR message */
export function switchErrorOf(body: Buffer): SwitchError {
  const [type, code] = [body.readUInt16BE(0), body.readUInt16BE(2)];
  const [prefix, ...codes] = NAMES[type] ?? [''];
  const known = codes[code];
  if (known !== undefined) return { type, code, name: `${prefix}_${known}` };
  const vendor = type === EXPERIMENTER ? ` of vendor 0x${body.readUInt32BE(4).toString(16)}` : '';
  return { type, code, name: `error ${type}/${code}${vendor}` };
}
