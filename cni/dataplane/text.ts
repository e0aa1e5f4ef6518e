/** Flows and groups as text, near to what `ovs-ofctl dump-flows` prints: to compare and to read. */
import { formatAddress, type Family } from '../../ipam/model/address.ts';
import { PORT, type Action, type Nat } from '../openflow/actions.ts';
import type { FieldName, FieldValue } from '../openflow/fields.ts';
import type { Flow, SelectGroup } from '../openflow/program.ts';
import { TABLE } from './tables.ts';

const TABLES = new Map<number, string>(Object.entries(TABLE).map(([name, id]) => [id, name]));
const PORTS = new Map<number, string>([
  [PORT.inPort, 'IN_PORT'],
  [PORT.normal, 'NORMAL'],
  [PORT.controller, 'CONTROLLER'],
]);

/** Returns what makes a flow the same flow: its place and its match. */
export const placeOf = ({ table, priority, match }: Pick<Flow, 'table' | 'priority' | 'match'>): string =>
  [`table=${tableName(table)}`, `priority=${priority}`, ...match.map(fieldText)].join(',');

export const actionsText = (actions: readonly Action[]): string =>
  actions.length === 0 ? 'drop' : actions.map(actionText).join(',');

export const flowText = (flow: Flow): string => `${placeOf(flow)} actions=${actionsText(flow.actions)}`;

export const groupText = ({ id, buckets, selection }: SelectGroup): string =>
  [
    `group_id=${id},type=select${selectionText(selection)}`,
    ...buckets.map(({ id: bucket, actions }) => `  bucket=${bucket},actions=${actionsText(actions)}`),
  ].join('\n');

const selectionText = (selection: SelectGroup['selection']): string => {
  if (!selection) return '';
  return `,${selection.method}${selection.method === 'hash' ? `(${selection.fields.join(',')})` : ''}`;
};

const tableName = (id: number): string => TABLES.get(id) ?? String(id);

function fieldText({ field, value, mask }: FieldValue): string {
  return `${field}=${valueText(field, value)}${mask === undefined ? '' : `/${valueText(field, mask)}`}`;
}

function valueText(field: FieldName, value: bigint): string {
  if (/^(ipv4|arp_[st]pa)/.test(field)) return formatAddress({ family: 4, value });
  if (/^(ipv6|nd_target)/.test(field)) return formatAddress({ family: 6, value });
  if (/^(eth_(src|dst)|arp_[st]ha|nd_[st]ll)$/.test(field)) return macText(value);
  if (field === 'eth_type') return `0x${value.toString(16).padStart(4, '0')}`;
  if (field === 'ct_state') return `0x${value.toString(16)}`;
  return value.toString();
}

const macText = (value: bigint): string =>
  value
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?=.)/g, '$&:');

function actionText(action: Action): string {
  switch (action.kind) {
    case 'output':
      return PORTS.get(action.port) ?? `output:${action.port}`;
    case 'group':
      return `group:${action.group}`;
    case 'meter':
      return `meter:${action.meter}`;
    case 'set':
      return `set(${fieldText(action.to)})`;
    case 'copy':
      return `copy(${action.from}[${action.fromBit}..${action.fromBit + action.bits - 1}]->${action.to}[${action.toBit}])`;
    case 'resubmit':
      return `goto:${tableName(action.table)}`;
    case 'ct':
      return ctText(action);
    case 'ct-clear':
      return 'ct_clear';
    case 'learn':
      return `learn(table=${tableName(action.table)},idle=${action.idleSeconds},${action.match
        .map((each) => (typeof each === 'string' ? each : fieldText(each)))
        .join(',')},${action.load.map((each) => `load:${fieldText(each)}`).join(',')})`;
    case 'controller':
      return `controller(${action.userdata.toString()})`;
  }
}

function ctText({ commit, zone, table, nat, mark }: Extract<Action, { kind: 'ct' }>): string {
  const parts = [
    ...(commit ? ['commit'] : []),
    `zone=${zone}`,
    ...(nat === undefined ? [] : [nat === 'restore' ? 'nat' : natText(nat)]),
    ...(mark === undefined ? [] : [`mark=${mark}`]),
    ...(table === undefined ? [] : [`table=${tableName(table)}`]),
  ];
  return `ct(${parts.join(',')})`;
}

function natText({ side, family, address, port }: Nat): string {
  return `nat(${side}=${endText(family, address, port)})`;
}

function endText(family: Family, value: bigint, port: number | undefined): string {
  const text = formatAddress({ family, value });
  if (port === undefined) return text;
  return family === 4 ? `${text}:${port}` : `[${text}]:${port}`;
}
