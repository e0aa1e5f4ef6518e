/** Wire notation of RFC 7047: values (section 5.1) and operations (5.2). Pure: opens no socket. */

export type Atom = string | number | boolean | Uuid | NamedUuid;
/** Refers to a row in the database. */
export type Uuid = readonly ['uuid', string];
/** Refers to a row that the same transaction inserts. */
export type NamedUuid = readonly ['named-uuid', string];
export type OvsSet = readonly ['set', readonly Atom[]];
export type OvsMap = readonly ['map', readonly (readonly [Atom, Atom])[]];
export type Value = Atom | OvsSet | OvsMap;
export type Row = Readonly<Record<string, Value>>;

export type Condition = readonly [
  column: string,
  relation: '==' | '!=' | '<' | '<=' | '>' | '>=' | 'includes' | 'excludes',
  value: Value,
];
export type Mutation = readonly [column: string, mutator: '+=' | '-=' | 'insert' | 'delete', value: Value];

export type Operation =
  | { readonly op: 'insert'; readonly table: string; readonly row: Row; readonly 'uuid-name'?: string }
  | {
      readonly op: 'select';
      readonly table: string;
      readonly where: readonly Condition[];
      readonly columns?: readonly string[];
    }
  | { readonly op: 'update'; readonly table: string; readonly where: readonly Condition[]; readonly row: Row }
  | {
      readonly op: 'mutate';
      readonly table: string;
      readonly where: readonly Condition[];
      readonly mutations: readonly Mutation[];
    }
  | { readonly op: 'delete'; readonly table: string; readonly where: readonly Condition[] }
  | {
      readonly op: 'wait';
      readonly table: string;
      readonly where: readonly Condition[];
      readonly columns: readonly string[];
      readonly until: '==' | '!=';
      readonly rows: readonly Row[];
      /** Milliseconds. With 0 the condition must hold at once. */
      readonly timeout: number;
    }
  | { readonly op: 'comment'; readonly comment: string };

/** Result of an operation (section 5.2). A failed one has `error`. */
export interface OperationResult {
  readonly rows?: readonly RawRow[];
  readonly uuid?: unknown;
  readonly count?: number;
  readonly error?: string;
  readonly details?: string;
}
export type RawRow = Readonly<Record<string, unknown>>;

export const uuid = (id: string): Uuid => ['uuid', id];
export const namedUuid = (id: string): NamedUuid => ['named-uuid', id];
export const set = (atoms: readonly Atom[]): OvsSet => ['set', atoms];
export const map = (entries: Readonly<Record<string, string>>): OvsMap => ['map', Object.entries(entries)];

/** Returns a set of any size as an array. A set of one arrives as the bare atom (5.1 `<set>`). */
export function asArray(value: unknown): unknown[] {
  if (Array.isArray(value) && value[0] === 'set' && Array.isArray(value[1])) return value[1] as unknown[];
  return value === undefined ? [] : [value];
}

/** Returns a map of strings as a record. */
export function asRecord(value: unknown): Record<string, string> {
  if (!Array.isArray(value) || value[0] !== 'map' || !Array.isArray(value[1])) return {};
  return Object.fromEntries(
    (value[1] as [unknown, unknown][]).map(([key, each]) => [String(key), String(each)]),
  );
}

/** Returns the only string of a column, or undefined when the column is an empty set. */
export function asString(value: unknown): string | undefined {
  const [first] = asArray(value);
  return typeof first === 'string' ? first : undefined;
}

export function asNumber(value: unknown): number | undefined {
  const [first] = asArray(value);
  return typeof first === 'number' ? first : undefined;
}

/** Returns the UUIDs of a column that refers to rows. */
export function asUuids(value: unknown): string[] {
  const isUuid = (each: unknown): each is Uuid => Array.isArray(each) && each[0] === 'uuid';
  return (isUuid(value) ? [value] : asArray(value)).filter(isUuid).map((each) => each[1]);
}
