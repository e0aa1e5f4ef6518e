import type { JsonPath, Operand, Operator, Part, Path, Step, Test } from './jsonpath.ts';
import { printableJson } from './data.ts';
import { printable } from './printable.ts';

interface Scope {
  readonly root: unknown;
  readonly here: unknown;
}

/**
 * Prints a value by a template, as `kubectl get -o jsonpath=…` does: several results of one
 * expression with spaces between them, nothing for what is missing, no line end at the end.
 */
export function renderJsonPath({ parts }: JsonPath, root: unknown): string {
  return renderParts(parts, { root, here: root });
}

/** Returns what the first expression of the template finds, for sorting. */
export function firstOf({ parts }: JsonPath, root: unknown): unknown {
  const [part] = parts.filter(({ kind }) => kind === 'path');
  return part?.kind === 'path' ? find(part.path, { root, here: root })[0] : undefined;
}

const renderParts = (parts: readonly Part[], scope: Scope): string =>
  parts
    .map((part) => {
      if (part.kind === 'text') return part.text;
      const found = find(part.path, scope);
      if (part.kind === 'path') return found.map(textOf).join(' ');
      return found.map((here) => renderParts(part.body, { root: scope.root, here })).join('');
    })
    .join('');

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return printable(value);
  return typeof value === 'object' ? printableJson(JSON.stringify(value)) : JSON.stringify(value);
}

function find({ ofRoot, steps }: Path, { root, here }: Scope): unknown[] {
  let found: unknown[] = [ofRoot ? root : here];
  for (const [i, step] of steps.entries()) {
    // kubectl's lists are objects with `items`, ours are arrays.
    const isItems = i === 0 && step.kind === 'field' && step.name === 'items';
    if (isItems && found[0] === root && Array.isArray(root)) continue;
    found = found.flatMap((value) => take(step, value, root));
  }
  return found;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

function take(step: Step, value: unknown, root: unknown): unknown[] {
  switch (step.kind) {
    case 'field':
      return !Array.isArray(value) && isObject(value) && Object.hasOwn(value, step.name)
        ? [value[step.name]]
        : [];
    case 'index':
      return Array.isArray(value) ? value.slice(step.index, step.index + 1 || undefined) : [];
    case 'slice':
      return Array.isArray(value) ? value.slice(step.from, step.to).filter((_, i) => i % step.by === 0) : [];
    case 'all':
      return isObject(value) ? Object.values(value) : [];
    case 'deep':
      return isObject(value)
        ? [value, ...Object.values(value).flatMap((each) => take(step, each, root))]
        : [];
    case 'filter':
      return isObject(value) ? Object.values(value).filter((here) => holds(step.test, { root, here })) : [];
    case 'union':
      return step.of.flatMap((each) => take(each, value, root));
  }
}

function holds({ left, compared }: Test, scope: Scope): boolean {
  const values = valuesOf(left, scope);
  if (!compared) return values.length > 0;
  const others = valuesOf(compared.right, scope);
  return values.some((a) => others.some((b) => compare(a, compared.operator, b)));
}

const valuesOf = (operand: Operand, scope: Scope): unknown[] =>
  'literal' in operand ? [operand.literal] : find(operand, scope);

function compare(a: unknown, operator: Operator, b: unknown): boolean {
  if (operator === '==') return a === b;
  if (operator === '!=') return a !== b;
  const isOrdered =
    (typeof a === 'number' && typeof b === 'number') || (typeof a === 'string' && typeof b === 'string');
  if (!isOrdered) return false;
  if (operator === '<') return a < b;
  if (operator === '>') return a > b;
  return operator === '<=' ? a <= b : a >= b;
}
