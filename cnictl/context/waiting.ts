import { CLEAR_LINE } from '../render/printable.ts';
import type { World } from './world.ts';

/** How long a command may be silent until it says that it works, in milliseconds. */
const SILENT_MS = 2_000;
const TICK_MS = 500;

/**
 * Says on a terminal that a command is at work when it has been silent for two seconds, whatever it
 * waits for. A bar of the command's own, or other output, takes the place of the line. A command
 * that runs until it is stopped, or asks the operator, has none.
 * @returns the world that the command writes to, and what ends it
 */
export function showWaiting(world: World): { readonly world: World; readonly end: () => void } {
  const { every } = world;
  if (!world.showsProgress || !every) return { world, end: () => undefined };
  const begun = world.monotonic();
  let silentSince = begun;
  let shows = false;
  let isOff = false;
  const clear = (): void => {
    silentSince = world.monotonic();
    if (!shows) return;
    shows = false;
    world.stderr(CLEAR_LINE);
  };
  const stop = every(TICK_MS, () => {
    const now = world.monotonic();
    if (isOff || now - silentSince < SILENT_MS) return;
    shows = true;
    world.stderr(`${CLEAR_LINE}at work for ${Math.round((now - begun) / 1000)} s`);
  });
  const end = (): void => {
    stop();
    clear();
  };
  const told: World = {
    ...world,
    stdout: (text) => {
      clear();
      world.stdout(text);
    },
    stderr: (text) => {
      clear();
      world.stderr(text);
    },
    ask: async (question) => {
      clear();
      isOff = true;
      try {
        return await world.ask(question);
      } finally {
        isOff = false;
        clear();
      }
    },
    untilStopped: () => {
      end();
      return world.untilStopped();
    },
  };
  return { world: told, end };
}
