import { clearBridge } from '../../cni/agent/dataplane/clear-bridge.ts';
import { CommandError } from '../context/errors.ts';
import type { Files } from '../context/file-access.ts';
import type { Exec, World } from '../context/world.ts';

/** One change of an installation, as a value. Paths include `--root`. */
export type Step =
  | { readonly do: 'make-folder'; readonly path: string }
  | { readonly do: 'copy'; readonly from: string; readonly path: string }
  | { readonly do: 'link'; readonly path: string; readonly target: string }
  /** Mode: 0644 when it is undefined. */
  | { readonly do: 'write'; readonly path: string; readonly content: string; readonly mode?: number }
  /** The manifest. Output does not mention it. */
  | { readonly do: 'record'; readonly path: string; readonly content: string }
  | { readonly do: 'run'; readonly argv: readonly string[] }
  /** Waits until the agent answers at its socket. */
  | { readonly do: 'await-agent'; readonly socket: string }
  | { readonly do: 'move-aside'; readonly path: string; readonly to: string }
  | { readonly do: 'remove'; readonly path: string }
  | { readonly do: 'remove-if-empty'; readonly path: string }
  /** Takes away all that cellnet programmed on a bridge. */
  | { readonly do: 'clear-bridge'; readonly ovsdb: string; readonly bridge: string };

/**
 * Returns a line for the operator that says what the step did, or what it is going to do. Undefined
 * for the manifest.
 */
export function describe(step: Step, when: 'before' | 'after'): string | undefined {
  switch (step.do) {
    case 'make-folder':
      return `folder ${step.path} made`;
    case 'copy':
      return `${step.path} copied from ${step.from}`;
    case 'link':
      return `link ${step.path} -> ${step.target}`;
    case 'write':
      return `${step.path} written`;
    case 'run':
      return step.argv.join(' ');
    case 'move-aside':
      return `${step.path} moved to ${step.to}, for it was edited`;
    case 'remove':
      return `${step.path} removed`;
    case 'remove-if-empty':
      return `folder ${step.path} removed${when === 'before' ? ', if it is empty' : ''}`;
    case 'clear-bridge':
      return `flows of cellnet removed from bridge ${step.bridge}`;
    case 'await-agent':
      return `${when === 'before' ? 'wait until the agent answers' : 'the agent answers'} at ${step.socket}`;
    case 'record':
      return undefined;
  }
}

/** What a step may touch. */
export type Hands = Pick<World, 'files' | 'exec' | 'openBridge' | 'probeAgent' | 'monotonic' | 'pause'>;

/**
 * Performs one step.
 * @returns whether it changed something
 * @throws CommandError
 */
export async function perform(step: Step, hands: Hands): Promise<boolean> {
  if (step.do === 'remove-if-empty') return hands.files.removeIfEmpty(step.path);
  if (step.do === 'run') await mustRun(step.argv, hands.exec);
  else if (step.do === 'await-agent') await awaitAgent(step.socket, hands);
  else if (step.do === 'clear-bridge') await clear(step, hands);
  else change(step, hands.files);
  return true;
}

function change(
  step: Exclude<Step, { do: 'run' | 'await-agent' | 'remove-if-empty' | 'clear-bridge' }>,
  files: Files,
): void {
  switch (step.do) {
    case 'make-folder':
      files.makeFolder(step.path);
      break;
    case 'copy':
      files.copyFolder(step.from, step.path);
      break;
    case 'link':
      files.link(step.target, step.path);
      break;
    case 'write':
      files.write(step.path, step.content, step.mode);
      break;
    case 'record':
      files.write(step.path, step.content);
      break;
    case 'move-aside':
      files.rename(step.path, step.to);
      break;
    case 'remove':
      files.remove(step.path);
      break;
  }
}

async function clear(
  { ovsdb, bridge }: Extract<Step, { do: 'clear-bridge' }>,
  { openBridge }: Hands,
): Promise<void> {
  const connection = await openBridge(ovsdb, bridge);
  await clearBridge(connection).finally(() => connection.close());
}

async function mustRun(argv: readonly string[], exec: Exec): Promise<void> {
  const { status, output } = await exec(argv);
  if (status === 0) return;
  throw new CommandError(
    `'${argv.join(' ')}' failed: ${output.trim() || `exit status ${status ?? 'none'}`}`,
    'Look at journalctl -u cellnetd; then do the same command again: it goes on where it stopped.',
  );
}

/** Longest wait for a started agent, in milliseconds. It is up in a second or two. */
const START_MS = 30_000;
const AGAIN_MS = 250;

async function awaitAgent(socket: string, { probeAgent, monotonic, pause }: Hands): Promise<void> {
  const until = monotonic() + START_MS;
  for (;;) {
    const answers = await probeAgent(socket).then(
      (answer) => answer.answers,
      () => false,
    );
    if (answers) return;
    if (monotonic() >= until) break;
    await pause(AGAIN_MS);
  }
  throw new CommandError(
    `the agent does not answer at ${socket} ${START_MS / 1000} s after its start: a new network is not handed to the runtime`,
    'Look at journalctl -u cellnetd; then do the same command again: it goes on where it stopped.',
  );
}
