import type { LogFields } from '../platform/platform.ts';
import type { FlushableLog } from './log.ts';

/** How many of the newest lines are kept in memory. */
const KEPT = 1_000;

interface Line {
  readonly at: Date;
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: LogFields;
}

/**
 * Keeps the newest lines of a log, for an operator's support archive: where the agent runs in a
 * container, its log is not a file of the node.
 * @param recent returns the lines kept, each as JSON, the oldest first
 */
export function keepRecent(log: FlushableLog): { readonly log: FlushableLog; readonly recent: () => string } {
  const lines: Line[] = [];
  const keep =
    (level: Line['level']) =>
    (message: string, fields: LogFields = {}): void => {
      lines.push({ at: new Date(), level, message, fields });
      if (lines.length > KEPT) lines.shift();
      log[level](message, fields);
    };
  return {
    log: { info: keep('info'), warn: keep('warn'), error: keep('error'), flush: () => log.flush() },
    recent: () =>
      lines
        .map(({ at, level, message, fields }) =>
          JSON.stringify({ level, time: at.toISOString(), ...fields, msg: message }),
        )
        .map((line) => `${line}\n`)
        .join(''),
  };
}
