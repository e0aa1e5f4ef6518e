import { openSync } from 'node:fs';
import type { DestinationStream, Logger } from 'pino';
import { messageOf } from '../../ipam/errors.ts';
import type { Log, LogFields } from '../parts.ts';
import type { Environment } from '../request.ts';

const LEVELS = ['info', 'warn', 'error'] as const;
type Level = (typeof LEVELS)[number];

export interface FlushableLog extends Log {
  /** Resolves when every line is written: before the process ends. */
  flush(): Promise<void>;
}

/**
 * Structured log lines on stderr, or in the file that CELLNET_LOG_FILE names: stdout belongs to the reply. From
 * CELLNET_LOG_LEVEL on (`warn`). The library is loaded with the first line: most calls write none, and it costs 6 ms.
 */
export function openLog(env: Environment, plugin: string): FlushableLog {
  const lowest = LEVELS.indexOf(LEVELS.find((each) => each === env['CELLNET_LOG_LEVEL']) ?? 'warn');
  let written: Promise<void> = Promise.resolve();
  let logger: Promise<Logger> | undefined;
  const write = (level: Level, message: string, fields: LogFields = {}): void => {
    if (LEVELS.indexOf(level) < lowest) return;
    const time = new Date().toISOString();
    logger ??= makeLogger(env['CELLNET_LOG_FILE'], plugin);
    const ready = logger;
    // A log that cannot be written must not change what a call does.
    written = written
      .then(async () => (await ready)[level]({ time, ...fields }, message))
      .catch(() => undefined);
  };
  return {
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
    flush: () => written,
  };
}

async function makeLogger(file: string | undefined, plugin: string): Promise<Logger> {
  const { pino } = await import('pino');
  const options = {
    base: { plugin },
    timestamp: false,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const open = (dest: string | number): DestinationStream => pino.destination({ dest, sync: true });
  if (!file) return pino(options, open(2));
  try {
    return pino(options, open(openSync(file, 'a', 0o640)));
  } catch (error) {
    const logger = pino(options, open(2));
    logger.warn({ file, reason: messageOf(error) }, 'the log file cannot be opened');
    return logger;
  }
}
