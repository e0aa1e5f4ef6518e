import { writeSync } from 'node:fs';
import type { ReadStream, WriteStream } from 'node:tty';
import { redraw, type Drawn, type Line, type Size } from '../render/frame.ts';
import { drained } from './output.ts';

/** What happens at a terminal. */
export interface TerminalListener {
  /** Characters as the keyboard sent them. */
  readonly input: (text: string) => void;
  readonly resized: () => void;
}

/** A terminal whose whole screen belongs to a command, until it is closed. */
export interface Terminal {
  readonly size: () => Size;
  /** Shows these lines, from the first row on. Nothing foreign in them can steer the terminal. */
  readonly show: (lines: readonly Line[]) => void;
  /** Resolves when what was shown has reached the terminal, or has failed to. */
  readonly flushed: () => Promise<void>;
  /** Draws everything again next time: something else may have written there. */
  readonly forget: () => void;
  /** Stops this process as ctrl-Z does; the terminal is the shell's meanwhile. */
  readonly suspend: () => void;
  /** Restores the terminal. */
  readonly close: () => void;
}

const STDOUT = 1;
/** How long this process may take to stop, in milliseconds. */
const STOPS_MS = 200;
const ESC = '\u001b';
const CTRL_C = '\u0003';
/** The other screen, no cursor, no wrapping at the last column. */
const ENTER = `${ESC}[?1049h${ESC}[?25l${ESC}[?7l`;
const LEAVE = `${ESC}[0m${ESC}[?7h${ESC}[?25h${ESC}[?1049l`;
/** For a terminal that does not tell its size. */
const USUAL = { columns: 80, rows: 24 };

/**
 * Takes a terminal over: keys come one by one, and the screen is drawn as a whole. However the
 * process ends, but by SIGKILL, the terminal is as it was.
 */
export function openTerminal(
  input: ReadStream,
  output: WriteStream,
  listener: TerminalListener,
  colours: boolean,
): Terminal {
  let drawn: Drawn | undefined;
  let isOpen = true;
  let isSuspended = false;
  const resized = (): void => listener.resized();
  const ended = (): void => listener.input(CTRL_C);
  const size = (): Size => {
    const { columns, rows } = output;
    return columns > 0 && rows > 0 ? { columns, rows } : USUAL;
  };
  const enter = (): void => {
    input.setRawMode(true);
    output.write(ENTER);
    drawn = undefined;
  };
  /** Written at once: at the end of the process nothing that waits is written any more. */
  const leave = (): void => {
    try {
      writeSync(STDOUT, LEAVE);
    } catch {
      // The terminal is gone, or takes nothing now.
      output.write(LEAVE);
    }
    try {
      input.setRawMode(false);
    } catch {
      // The terminal is gone: nothing is left to restore.
    }
  };
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    leave();
    input.off('data', listener.input).off('end', ended);
    output.off('resize', resized);
    process.off('SIGCONT', resume).off('SIGTSTP', suspend);
    process.off('exit', close);
    input.pause();
  };
  const resume = (): void => {
    if (!isOpen) return;
    isSuspended = false;
    process.off('SIGTSTP', suspend).on('SIGTSTP', suspend);
    enter();
    listener.resized();
  };
  /** For ctrl-Z, which comes as a key, and for SIGTSTP of somebody else. */
  const suspend = (): void => {
    if (!isOpen || isSuspended) return;
    isSuspended = true;
    leave();
    // Without a listener the signal does what it does by itself.
    process.off('SIGTSTP', suspend);
    process.kill(process.pid, 'SIGTSTP');
    // The kernel stops nobody whom no shell could continue, as in `kubectl exec -it`.
    setTimeout(() => {
      if (isSuspended) resume();
    }, STOPS_MS).unref();
  };
  input.setEncoding('utf8');
  // A keyboard that is gone sends nothing more.
  input.on('data', listener.input).on('end', ended).on('error', ended);
  output.on('resize', resized);
  process.on('SIGCONT', resume).on('SIGTSTP', suspend);
  process.once('exit', close);
  enter();
  input.resume();
  return {
    size,
    show: (lines) => {
      if (isSuspended) return;
      const next = redraw(drawn, lines, size(), colours);
      drawn = next.drawn;
      if (next.text !== '') output.write(next.text);
    },
    flushed: () => drained(output),
    forget: () => (drawn = undefined),
    suspend,
    close,
  };
}
