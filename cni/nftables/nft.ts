import { runProgram, type Ended } from '../subprocess/run.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { TABLE } from './masquerade-table.ts';

/** Longest time that nft may take, in milliseconds. It takes a few, save on a very busy node. */
const DEADLINE_MS = 10_000;
/** In characters: each of 10,000 ranges takes 20. */
const MAX_OUTPUT = 1024 * 1024;

/** What the agent has nft(8) do, in its own network namespace. */
export interface Nft {
  /**
   * Carries out the commands, all or none of them. Equivalent to: nft -f -
   * @throws NftError
   */
  apply(commands: string): Promise<void>;
  /**
   * Returns our table as nft prints it; undefined if there is none.
   * Equivalent to: nft list table inet cellnet
   * @throws NftError
   */
  listTable(): Promise<string | undefined>;
}

/** nft is missing, failed, or did not end in time. The message says which, and what helps. */
export class NftError extends Error {
  override readonly name = 'NftError';
  /** Whether it did not end in time: nobody knows what it did. */
  readonly isLate: boolean;

  constructor(message: string, { isLate = false, ...options }: ErrorOptions & { isLate?: boolean } = {}) {
    super(message, options);
    this.isLate = isLate;
  }
}

export function hostNft(env: NodeJS.ProcessEnv, deadlineMs = DEADLINE_MS): Nft {
  const run = (args: readonly string[], input?: string): Promise<Ended> =>
    runNft({ ...env, LC_ALL: 'C' }, args, input, deadlineMs);
  return {
    apply: async (commands) => {
      const ended = await run(['-f', '-'], commands);
      if (ended.status !== 0) throw refused(ended);
    },
    listTable: async () => {
      const ended = await run(['list', 'table', ...TABLE]);
      if (ended.status === 0) return ended.stdout;
      if (ended.stderr.includes('No such file or directory')) return undefined;
      throw refused(ended);
    },
  };
}

async function runNft(
  env: NodeJS.ProcessEnv,
  args: readonly string[],
  input: string | undefined,
  deadlineMs: number,
): Promise<Ended> {
  const signal = AbortSignal.timeout(deadlineMs);
  const program = { file: 'nft', args, env, maxOutput: MAX_OUTPUT, signal };
  const ended = await runProgram({ ...program, ...(input !== undefined && { input }) }).catch(
    (cause: unknown) => {
      throw new NftError(
        `the program nft cannot be started: ${messageOf(cause)}. Install the package nftables on the node`,
        { cause },
      );
    },
  );
  if (ended.killedFor === 'signal')
    throw new NftError(`nft did not end within ${deadlineMs / 1000} s`, { isLate: true });
  return ended;
}

/** A kernel without nf_tables, or without masquerading in such a table, says so here. */
function refused({ status, stderr, killedFor }: Ended): NftError {
  const [line] = stderr.split('\n').filter((each) => each.trim() !== '');
  const why = killedFor === 'output' ? 'printed too much' : (line ?? `exit status ${status ?? 'none'}`);
  return new NftError(
    `nft failed: ${why.trim()}. It needs root, and a kernel (5.2 or newer) with nf_tables, nft_chain_nat and nft_masq`,
  );
}
