import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { childEnv, until } from './proc.ts';
import { Screen } from './screen.ts';

/** How a program on a terminal ended. */
export interface PtyEnd {
  /** Below 0: a signal ended it. */
  readonly status: number;
  /** Whether the terminal has the settings that it had before. */
  readonly restored: boolean;
  /** Whether keys came one by one meanwhile. */
  readonly wasRaw: boolean;
}

/** A program on a pseudo terminal, and what its screen shows. Python has pseudo terminals. */
export class Pty {
  readonly screen: Screen;
  /** How many bytes the program has written. */
  bytes = 0;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<PtyEnd>;

  constructor(argv: readonly string[], env: Record<string, string>, columns = 80, rows = 24) {
    this.screen = new Screen(columns, rows);
    const args = [join(import.meta.dirname, 'pty.py'), String(columns), String(rows), ...argv];
    this.#child = spawn('python3', args, { env: childEnv({ TERM: 'xterm-256color', ...env }) });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.bytes += Buffer.byteLength(text);
      this.screen.write(text);
    });
    let told = '';
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (told += text));
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('close', () => {
        const last = told.trim().split('\n').at(-1) ?? '';
        if (last.startsWith('{')) resolve(JSON.parse(last) as PtyEnd);
        else reject(new Error(`pty.py: ${told}`));
      });
    });
  }

  press(keys: string): void {
    this.#send({ keys });
  }

  /** Gives the window another size, as a user does who pulls at its corner. */
  resize(columns: number, rows: number): void {
    this.screen.resize(columns, rows);
    this.#send({ size: [columns, rows] });
  }

  signal(number: number): void {
    this.#send({ signal: number });
  }

  #send(asked: object): void {
    this.#child.stdin.write(`${JSON.stringify(asked)}\n`);
  }

  /** Waits until the screen shows it. */
  async shows(what: RegExp | ((screen: Screen) => boolean), withinMs = 15_000): Promise<void> {
    const isShown = (): boolean => (what instanceof RegExp ? what.test(this.screen.text) : what(this.screen));
    try {
      await until(String(what), () => isShown() || undefined, withinMs);
    } catch (error) {
      throw new Error(`the screen does not show ${String(what)}:\n${this.screen.text}`, { cause: error });
    }
  }

  ended(): Promise<PtyEnd> {
    return this.#ended;
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}
