import { printable } from '../render/printable.ts';

/** Invalid input, or work that a command could not do: exit status 2. */
export class CommandError extends Error {
  readonly remedy: string;

  constructor(message: string, remedy = '', options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandError';
    this.remedy = remedy;
  }
}

/**
 * Returns up to two lines for the operator: the error and the remedy. Escapes control characters in
 * both.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `cnictl: ${printable(String(error))}\n`;
  const remedy = 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : '';
  return `cnictl: ${printable(error.message)}\n${remedy === '' ? '' : `  ${printable(remedy)}\n`}`;
}
