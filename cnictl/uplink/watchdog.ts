/**
 * The process that undoes a move of addresses unless it is told that all is well. It has a session
 * of its own and no terminal, so it outlives the command that started it, also one that is killed.
 *
 * It talks with that command in lines. It says `ready`, then hears `confirm` or `undo`, and says
 * `kept` or `undone` with a JSON list of what could not be undone. It undoes as well when the other
 * end of its input is gone, on SIGTERM, and when its time is over.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Undone } from '../context/uplink-host.ts';
import { BYTE_OF, lockMove, readMove, removeMove, type MoveRecord } from './record.ts';
import { undoMove } from './undo.ts';

/** A request of a killed process may still be on its way to Open vSwitch. */
const SETTLE_MS = 2_000;
const AGAIN_AFTER_MS = 5_000;
const AGAIN_FOR_MS = 600_000;

type Ending = 'confirm' | 'undo' | 'the command has ended' | 'its time is over' | 'SIGTERM';

/** Writes to the log, which is this program's standard error. */
const log = (text: string): void => {
  process.stderr.write(`${new Date().toISOString()} ${text}\n`);
};

/**
 * @param limitMs time for the confirmation, in milliseconds
 * @returns the exit status
 */
export async function watchMove(stateDir: string, limitMs: number): Promise<number> {
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGPIPE'] as const) process.on(signal, () => undefined);
  // The command may be gone, and with it the reader of what this program says.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined);
  const heard = hearEnding(limitMs);
  const unlock = lockMove(stateDir, BYTE_OF.watchdog);
  const record = readMove(stateDir);
  if (!unlock || !record) return 1;
  process.stdout.write('ready\n');
  const ending = await heard;
  if (ending === 'confirm') {
    removeMove(stateDir);
    process.stdout.write('kept\n');
    return 0;
  }
  const { uplink, bridge } = record.move;
  log(`${uplink} and ${bridge}: undone because of: ${ending}`);
  const trouble = await undoOnce(stateDir, record);
  process.stdout.write(`undone ${JSON.stringify(trouble)}\n`);
  if (ending !== 'undo') {
    await sleep(SETTLE_MS);
    await undoOnce(stateDir, record);
  }
  return trouble.length === 0 ? 0 : await undoAgain(stateDir, record);
}

/** Waits for what ends the watch. From the call on, so that no signal and no line is lost. */
function hearEnding(limitMs: number): Promise<Ending> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    setTimeout(() => resolve('its time is over'), limitMs);
    createInterface({ input: process.stdin })
      .on('line', (line) => {
        if (line === 'confirm' || line === 'undo') resolve(line);
      })
      .on('close', () => resolve('the command has ended'));
  });
}

/** The record stays as long as something is not undone. */
async function undoOnce(stateDir: string, { move, rebooted }: MoveRecord): Promise<Undone> {
  const trouble = await undoMove(move, rebooted);
  if (trouble.length === 0) removeMove(stateDir);
  else log(`not undone: ${trouble.join('; ')}`);
  return trouble;
}

async function undoAgain(stateDir: string, record: MoveRecord): Promise<number> {
  const until = performance.now() + AGAIN_FOR_MS;
  while (performance.now() < until) {
    await sleep(AGAIN_AFTER_MS);
    if ((await undoOnce(stateDir, record)).length === 0) return 0;
  }
  return 1;
}
