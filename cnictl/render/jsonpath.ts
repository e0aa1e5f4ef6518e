import { JsonPathError, JsonPathScanner } from './jsonpath-scanner.ts';

export { JsonPathError };

/**
 * A template of kubectl's JSONPath: https://kubernetes.io/docs/reference/kubectl/jsonpath/. The
 * expressions stand in braces, all else is printed as it is.
 */
export interface JsonPath {
  readonly parts: readonly Part[];
}

export type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'path'; readonly path: Path }
  | { readonly kind: 'range'; readonly path: Path; readonly body: readonly Part[] };

/** One expression, such as `.items[*].ip`. */
export interface Path {
  /** `$`: of the whole document. Else of what `{range}` or a filter looks at. */
  readonly ofRoot: boolean;
  readonly steps: readonly Step[];
}

export type Step =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'slice'; readonly from?: number; readonly to?: number; readonly by: number }
  | { readonly kind: 'all' }
  /** `..`: the value itself and all that it contains. */
  | { readonly kind: 'deep' }
  | { readonly kind: 'filter'; readonly test: Test }
  | { readonly kind: 'union'; readonly of: readonly Step[] };

export type Operator = '==' | '!=' | '<=' | '>=' | '<' | '>';
export type Operand = Path | { readonly literal: string | number | boolean | null };

/** `?(@.x)` or `?(@.x=="y")`. */
export interface Test {
  readonly left: Operand;
  readonly compared?: { readonly operator: Operator; readonly right: Operand };
}

/**
 * Parses a template. One without any brace is an expression, as for kubectl's `--sort-by`.
 * @throws JsonPathError
 */
export function parseJsonPath(template: string): JsonPath {
  if (template.trim() === '') throw new JsonPathError("expected an expression such as '{.items[*].ip}'", 0);
  const scanner = new JsonPathScanner(template);
  if (template.includes('{')) return { parts: parseParts(scanner, undefined) };
  const path = parsePath(scanner);
  scanner.skipSpace();
  if (!scanner.ended) throw scanner.error("'.', '[' or the end");
  return { parts: [{ kind: 'path', path }] };
}

/** @param rangeAt where the `{range}` begins whose `{end}` ends the parts */
function parseParts(scanner: JsonPathScanner, rangeAt: number | undefined): Part[] {
  const parts: Part[] = [];
  while (!scanner.ended) {
    const text = scanner.takeUntil('{');
    if (text !== '') parts.push({ kind: 'text', text });
    const at = scanner.at;
    if (!scanner.take('{')) break;
    scanner.skipSpace();
    if (scanner.takeWord('end')) {
      if (rangeAt === undefined) throw new JsonPathError('{end} without a {range …} before it', at);
      scanner.close('}');
      return parts;
    }
    parts.push(...parseBraces(scanner, at));
  }
  if (rangeAt !== undefined) throw new JsonPathError('{range …} without its {end}', rangeAt);
  return parts;
}

/** Parses what stands in braces: expressions and quoted texts, or the head of a range. */
function parseBraces(scanner: JsonPathScanner, at: number): Part[] {
  if (scanner.takeWord('range')) {
    scanner.skipSpace();
    const path = parsePath(scanner);
    scanner.close('}');
    return [{ kind: 'range', path, body: parseParts(scanner, at) }];
  }
  const parts: Part[] = [];
  for (;;) {
    scanner.skipSpace();
    if (parts.length > 0 && scanner.take('}')) return parts;
    const text = scanner.takeQuoted();
    parts.push(text === undefined ? { kind: 'path', path: parsePath(scanner) } : { kind: 'text', text });
  }
}

function parsePath(scanner: JsonPathScanner): Path {
  const at = scanner.at;
  const ofRoot = scanner.take('$');
  if (!ofRoot) scanner.take('@');
  const steps: Step[] = [];
  // As for kubectl, the first name needs no dot.
  const bare = ofRoot || scanner.at > at ? undefined : scanner.takeName();
  if (bare !== undefined) steps.push({ kind: 'field', name: bare });
  for (;;) {
    if (scanner.take('..')) {
      steps.push({ kind: 'deep' });
      const name = scanner.take('*') ? undefined : scanner.takeName();
      if (name !== undefined) steps.push({ kind: 'field', name });
      else if (scanner.peek !== '[') steps.push({ kind: 'all' });
    } else if (scanner.take('.')) {
      if (scanner.take('*')) steps.push({ kind: 'all' });
      else {
        const name = scanner.takeName();
        if (name !== undefined) steps.push({ kind: 'field', name });
        // `{.}` is the whole value.
        else if (steps.length > 0 || scanner.peek === '.') throw scanner.error('a name');
      }
    } else if (scanner.take('[')) steps.push(parseBracket(scanner));
    else break;
  }
  if (scanner.at === at) throw scanner.error("an expression such as .items[*].ip, or a text in ''");
  return { ofRoot, steps };
}

/** Parses what stands between `[` and `]`. */
function parseBracket(scanner: JsonPathScanner): Step {
  if (scanner.take('?(')) {
    const test = parseTest(scanner);
    scanner.close(')');
    scanner.close(']');
    return { kind: 'filter', test };
  }
  const of: Step[] = [];
  do of.push(parseSubscript(scanner));
  while (scanner.take(','));
  scanner.close(']');
  const [only] = of;
  return of.length === 1 && only ? only : { kind: 'union', of };
}

function parseSubscript(scanner: JsonPathScanner): Step {
  scanner.skipSpace();
  if (scanner.take('*')) return { kind: 'all' };
  const name = scanner.takeQuoted();
  if (name !== undefined) {
    scanner.skipSpace();
    return { kind: 'field', name };
  }
  const from = scanner.takeInteger();
  scanner.skipSpace();
  if (!scanner.take(':')) {
    if (from === undefined) throw scanner.error('a number, a name in \'\', *, or ?(@.name=="value")');
    return { kind: 'index', index: from };
  }
  const to = scanner.takeInteger();
  const by = scanner.take(':') ? scanner.takeInteger() : 1;
  if (by === undefined || by < 1) throw scanner.error('a step of 1 or more');
  scanner.skipSpace();
  return { kind: 'slice', ...(from !== undefined && { from }), ...(to !== undefined && { to }), by };
}

const OPERATORS: readonly Operator[] = ['==', '!=', '<=', '>=', '<', '>'];

function parseTest(scanner: JsonPathScanner): Test {
  const left = parseOperand(scanner);
  scanner.skipSpace();
  const operator = OPERATORS.find((each) => scanner.take(each));
  if (operator) return { left, compared: { operator, right: parseOperand(scanner) } };
  if (scanner.peek !== ')') throw scanner.error(`${OPERATORS.join(' ')} or ')'`);
  return { left };
}

function parseOperand(scanner: JsonPathScanner): Operand {
  scanner.skipSpace();
  const text = scanner.takeQuoted();
  if (text !== undefined) return { literal: text };
  const number = scanner.takeNumber();
  if (number !== undefined) return { literal: number };
  for (const [word, literal] of [
    ['true', true],
    ['false', false],
    ['null', null],
  ] as const)
    if (scanner.takeWord(word)) return { literal };
  return parsePath(scanner);
}
