/** Starts the watchdog, and talks with it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CommandError } from '../context/errors.ts';
import type { Undone, UplinkGuard, UplinkMove } from '../context/uplink-host.ts';
import { BYTE_OF, lockMove, removeMove, writeMove } from './record.ts';
import { underWay } from './under-way.ts';
import { undoMove } from './undo.ts';

/** File in the folder of cnictl's bundle. */
const PROGRAM = 'cnictl-uplink-guard.js';
const READY_WITHIN_MS = 15_000;
/** Longest wait for an answer: longer than an undo takes. */
const ANSWER_WITHIN_MS = 30_000;
/** What the watchdog allows for the steps of the move and for a last question, in milliseconds. */
const ALLOWANCE_MS = 20_000;

/**
 * Writes the record of the move, then starts the watchdog on it.
 * @param folder of cnictl's bundle
 */
export async function startGuard(
  folder: string,
  stateDir: string,
  move: UplinkMove,
  confirmMs: number,
): Promise<UplinkGuard> {
  const program = join(folder, PROGRAM);
  if (!existsSync(program)) throw noGuard(`${program} does not exist`);
  if (!lockMove(stateDir, BYTE_OF.mover)) throw underWay();
  writeMove(stateDir, move);
  try {
    const child = startWatchdog(program, stateDir, confirmMs + ALLOWANCE_MS);
    const talk = new Talk(child);
    if ((await talk.next(READY_WITHIN_MS)) !== 'ready') {
      child.kill('SIGKILL');
      throw noGuard(`it was not ready within ${READY_WITHIN_MS / 1000} s`);
    }
    return guardOf(talk, stateDir, move);
  } catch (error) {
    removeMove(stateDir);
    throw error;
  }
}

const noGuard = (why: string): CommandError =>
  new CommandError(
    `the watchdog that would undo the move of the addresses did not start: ${why}`,
    'Nothing was changed. cnictl needs all of its dist/: cnictl node install copies it.',
  );

/** Its own session: a terminal that closes does not end it. */
function startWatchdog(program: string, stateDir: string, limitMs: number): ChildProcess {
  const log = openSync(join(stateDir, 'uplink-move.log'), 'a', 0o600);
  try {
    return spawn(process.execPath, [program, stateDir, String(limitMs)], {
      detached: true,
      stdio: ['pipe', 'pipe', log],
      env: {},
      cwd: '/',
    });
  } finally {
    closeSync(log);
  }
}

/** The lines of a child. */
class Talk {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on('error', () => this.#end());
    child.stdin?.on('error', () => undefined);
    if (!child.stdout) return;
    createInterface({ input: child.stdout })
      .on('line', (line) => {
        this.#lines.push(line);
        this.#wake();
      })
      .on('close', () => this.#end());
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Returns the next line; undefined when the child has ended or the time is over. */
  async next(withinMs: number): Promise<string | undefined> {
    const line = this.#lines.shift();
    if (line !== undefined || this.#ended) return line;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    return this.#lines.shift();
  }

  async ask(word: 'confirm' | 'undo'): Promise<string | undefined> {
    this.#child.stdin?.write(`${word}\n`);
    const answer = await this.next(ANSWER_WITHIN_MS);
    // From now on the watchdog is alone: what it still has to do does not keep this process.
    this.#child.unref();
    return answer;
  }
}

const guardOf = (talk: Talk, stateDir: string, move: UplinkMove): UplinkGuard => ({
  confirm: async () => {
    const answer = await talk.ask('confirm');
    if (answer?.startsWith('undone')) return false;
    // Without an answer the watchdog has died: nobody undoes what is well.
    if (answer === undefined) removeMove(stateDir);
    return true;
  },
  undo: async () => {
    const answer = /^undone (.*)$/.exec((await talk.ask('undo')) ?? '')?.[1];
    return answer === undefined ? await undoHere(stateDir, move, false) : (JSON.parse(answer) as Undone);
  },
});

/** Undoes a move in this process, because its watchdog has died. */
export async function undoHere(stateDir: string, move: UplinkMove, rebooted: boolean): Promise<Undone> {
  const trouble = await undoMove(move, rebooted);
  if (trouble.length === 0) removeMove(stateDir);
  return trouble;
}
