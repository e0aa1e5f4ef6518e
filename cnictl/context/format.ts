import { didYouMean } from '../../ipam/model/nearest.ts';
import { JsonPathError, parseJsonPath, type JsonPath } from '../render/jsonpath.ts';
import { CommandError } from './errors.ts';

/** The values of `-o`, for help and completion. */
export const OUTPUTS = ['table', 'wide', 'name', 'json', 'yaml', 'jsonpath=…'] as const;

/** How a command prints its result. */
export type Format =
  | { readonly kind: 'table' | 'wide' | 'name' | 'json' | 'yaml' }
  | { readonly kind: 'jsonpath'; readonly path: JsonPath };

const KINDS = ['table', 'wide', 'name', 'json', 'yaml'] as const;
const JSONPATH = 'jsonpath=';

/** Parses `-o`. @throws CommandError */
export function parseFormat(text: string): Format {
  const kind = KINDS.find((each) => each === text);
  if (kind) return { kind };
  if (text.startsWith(JSONPATH))
    return { kind: 'jsonpath', path: jsonPathOf(text.slice(JSONPATH.length), '-o jsonpath') };
  const remedy =
    text === 'jsonpath'
      ? "Write the expression behind it: -o jsonpath='{.items[*].name}'."
      : didYouMean(text, [...KINDS, 'jsonpath']).trim();
  throw new CommandError(`-o '${text}': expected one of ${OUTPUTS.join(', ')}`, remedy);
}

/**
 * Parses a JSONPath that the operator wrote.
 * @throws CommandError with the expression and the place in it
 */
export function jsonPathOf(template: string, option: string): JsonPath {
  try {
    return parseJsonPath(template);
  } catch (error) {
    if (!(error instanceof JsonPathError)) throw error;
    throw new CommandError(
      `${option} '${template}': at character ${error.at + 1}: ${error.message}`,
      'An example: {range .items[?(@.state=="used")]}{.ip}{\'\\n\'}{end}',
    );
  }
}
