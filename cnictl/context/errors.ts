import { hasCode } from '../../ipam/model/errors.ts';
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

const AS_ROOT = 'Run it as root. As root, look at SELinux and AppArmor.';

/** Whether the system refused it for lack of a permission. */
function isDenied(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return hasCode(error, 'EACCES', 'EPERM') || isDenied(error.cause);
}

/** Returns what the operator can do about the error; empty if nothing is known. */
export function remedyFor(error: unknown): string {
  const own =
    error instanceof Error && 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : '';
  // The remedies of other errors are of their code, and do not know of the cause.
  if (error instanceof CommandError && own !== '') return own;
  return isDenied(error) ? AS_ROOT : own;
}

/**
 * Returns up to two lines for the operator: the error and the remedy. Escapes control characters in
 * both.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `cnictl: ${printable(String(error))}\n`;
  const remedy = remedyFor(error);
  return `cnictl: ${printable(error.message)}\n${remedy === '' ? '' : `  ${printable(remedy)}\n`}`;
}
