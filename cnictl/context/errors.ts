import { printable } from '../render/printable.ts';

/** What a command was asked wrongly, or what it could not do: exit status 2. */
export class CommandError extends Error {
  readonly remedy: string;

  constructor(message: string, remedy = '', options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandError';
    this.remedy = remedy;
  }
}

/** Two lines for a person: what is wrong, and what to do. Control characters in either are shown, not sent. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `cnictl: ${printable(String(error))}\n`;
  const remedy = 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : '';
  return `cnictl: ${printable(error.message)}\n${remedy === '' ? '' : `  ${printable(remedy)}\n`}`;
}
