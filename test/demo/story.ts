/** Prints a demo step by step and records whether every step held. */
import { Recorder } from './cast.ts';

/** A recording is of a terminal with colours, wherever the output goes. */
export const recorder = process.argv.includes('--record') ? new Recorder(() => performance.now()) : undefined;
const colour = recorder !== undefined || (process.stdout.isTTY && process.env['NO_COLOR'] === undefined);

function print(line: string): void {
  console.log(line);
  recorder?.print(`${line}\n`);
}

const paint =
  (code: number) =>
  (text: string): string =>
    colour ? `\u001b[${code}m${text}\u001b[0m` : text;
export const bold = paint(1);
export const dim = paint(2);
const red = paint(31);
const green = paint(32);
const cyan = paint(36);

let steps = 0;
let failed = 0;

export function chapter(title: string): void {
  print(`\n${bold(cyan(`== ${title}`))}`);
}

/** Prints text that the operator typed or a program printed. */
export function show(text: string): void {
  for (const line of text.trimEnd().split('\n')) print(dim('   │ ') + line);
}

/**
 * Runs one step and prints whether it held. A step fails by throwing. The error ends the demo,
 * because later steps depend on earlier ones.
 */
export async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  steps++;
  const started = performance.now();
  try {
    const result = await work();
    print(`${green(' ✓')} ${what} ${dim(`(${Math.round(performance.now() - started)} ms)`)}`);
    return result;
  } catch (error) {
    failed++;
    print(`${red(' ✗')} ${what}`);
    throw error;
  }
}

/** Throws an Error with the text `otherwise` unless `holds` is true. */
export function expect(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

/** Prints the last line and returns the exit status. */
export function end(error: Error | undefined): number {
  if (error) show(red(error.message));
  const held = failed === 0 && error === undefined && steps > 0;
  print(
    held
      ? `\n${bold(green(`Every step held: ${steps} of ${steps}.`))}`
      : `\n${bold(red(`Not every step held: ${steps - Math.max(failed, 1)} of at least ${steps}.`))}`,
  );
  return held ? 0 : 1;
}
