import * as v from 'valibot';

/** A problem with a value: the key's path, and a message with what was found and expected. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

export type Decoded<T> = { ok: true; value: T } | { ok: false; problem: Problem };

/**
 * Checks a value against a schema. Reports only the first problem, in a message that names key,
 * value and expectation.
 */
export function decodeValue<T extends v.GenericSchema>(schema: T, input: unknown): Decoded<v.InferOutput<T>> {
  const result = v.safeParse(schema, input, { abortEarly: true });
  if (result.success) return { ok: true, value: result.output };
  const [issue] = result.issues;
  return { ok: false, problem: describeIssue(issue, schema) };
}

function describeIssue(issue: v.BaseIssue<unknown>, schema: v.GenericSchema): Problem {
  const path = v.getDotPath(issue) ?? '';
  if (issue.type === 'strict_object' && issue.expected === 'never') {
    return { path, message: `unknown key '${path}': expected ${knownKeys(schema, path)}` };
  }
  if (issue.kind === 'schema' && issue.received === 'undefined') {
    return { path, message: `key '${path}' is missing: expected ${expectation(issue)}` };
  }
  const where = path === '' ? 'the value' : `key '${path}'`;
  return { path, message: `${where} is ${shorten(issue.input)}: expected ${expectation(issue)}` };
}

/** Prefers the schema's own message (given as `v.check(…, 'an address such as …')`). */
function expectation(issue: v.BaseIssue<unknown>): string {
  if (!issue.message.startsWith('Invalid ')) return issue.message;
  return issue.expected ?? issue.message;
}

function knownKeys(schema: v.GenericSchema, path: string): string {
  let here: unknown = schema;
  for (const part of path.split('.').slice(0, -1)) here = entriesOf(here)?.[part];
  const entries = entriesOf(here);
  return entries ? `one of ${Object.keys(entries).join(', ')}` : 'only known keys';
}

/** Returns the entries of an object schema. Looks through wrappers such as `optional`. */
function entriesOf(schema: unknown): Record<string, unknown> | undefined {
  if (typeof schema !== 'object' || schema === null) return undefined;
  if ('entries' in schema && typeof schema.entries === 'object')
    return schema.entries as Record<string, unknown>;
  if ('wrapped' in schema) return entriesOf(schema.wrapped);
  return undefined;
}

/** Members nest less deeply in every document that cellnet reads. Bounds the recursion. */
const DEEPEST = 16;

/**
 * Returns the JSON value without members that are null. Programs in Go write null for an optional
 * member, list or map that is not set, so it means the same as no member. Keeps null elements of
 * lists.
 */
export function withoutNullMembers(value: unknown, depth = DEEPEST): unknown {
  if (typeof value !== 'object' || value === null || depth === 0) return value;
  if (Array.isArray(value)) return value.map((each) => withoutNullMembers(each, depth - 1));
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(members.map(([key, member]) => [key, withoutNullMembers(member, depth - 1)]));
}

export function shorten(input: unknown): string {
  const text = JSON.stringify(input) as string | undefined;
  if (text === undefined) return String(input);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
