import { openSync } from 'node:fs';
import type { DestinationStream, Logger } from 'pino';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Log, LogFields } from '../platform/platform.ts';
import type { Environment } from '../protocol/request.ts';

const LEVELS = ['info', 'warn', 'error'] as const;
type Level = (typeof LEVELS)[number];

export interface FlushableLog extends Log {
  /** Resolves when every line is written. The process awaits it before it exits. */
  flush(): Promise<void>;
}

/**
 * Writes structured log lines to stderr, or to the file that CELLNET_LOG_FILE names: stdout belongs
 * to the reply. Writes lines of level CELLNET_LOG_LEVEL (default `warn`) and above, in the next
 * turn of the event loop. Loads the library, which takes 6 ms, with the first line: most calls
 * write none.
 * @param plugin the key `plugin` of each line that does not name another one itself
 */
export function openLog(env: Environment, plugin: string): FlushableLog {
  const lowest = LEVELS.indexOf(LEVELS.find((each) => each === env['CELLNET_LOG_LEVEL']) ?? 'warn');
  const waiting: ((logger: Logger) => void)[] = [];
  let logger: Promise<Logger> | undefined;
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return;
    logger ??= makeLogger(env['CELLNET_LOG_FILE'], plugin);
    // A log that cannot be written must not change the outcome of a call.
    const ready = await logger.catch(() => undefined);
    for (const write of waiting.splice(0)) {
      try {
        if (ready) write(ready);
      } catch {
        // Writing the next line may succeed.
      }
    }
  };
  const note = (level: Level, message: string, fields: LogFields = {}): void => {
    if (LEVELS.indexOf(level) < lowest) return;
    const time = new Date();
    waiting.push((ready) => ready[level]({ time: time.toISOString(), plugin, ...fields }, message));
    // The plugin writes its reply first.
    if (waiting.length === 1) setImmediate(() => void flush());
  };
  return {
    info: (message, fields) => note('info', message, fields),
    warn: (message, fields) => note('warn', message, fields),
    error: (message, fields) => note('error', message, fields),
    flush,
  };
}

async function makeLogger(file: string | undefined, plugin: string): Promise<Logger> {
  const { pino } = await import('pino');
  const options = {
    // pino writes its own keys and then those of the line, also when both have the same.
    base: null,
    timestamp: false,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const open = (dest: string | number): DestinationStream => pino.destination({ dest, sync: true });
  if (!file) return pino(options, open(2));
  try {
    return pino(options, open(openSync(file, 'a', 0o640)));
  } catch (error) {
    const logger = pino(options, open(2));
    logger.warn({ plugin, file, reason: messageOf(error) }, 'the log file cannot be opened');
    return logger;
  }
}
