import type { Environment } from './request.ts';

/** Both plugins are one program with different verbs. */
export type Plugin = 'cellnet' | 'cellnet-ipam';

/** The input of a plugin process (CNI SPEC section 2; section 5 defines the output). */
export interface Input {
  readonly env: Environment;
  readonly stdin: string;
  /** The shared configuration file; undefined without such a file. */
  readonly sharedConfig: SharedConfig | undefined;
  /** Whether an agent runs that did not answer this call, and may hold its attachment's lock. */
  readonly agentHangs?: boolean;
}

/** The shared configuration file at its path `file`, or why it cannot be read. */
export type SharedConfig = { readonly file: string } & (
  { readonly content: string } | { readonly failure: Error }
);

export interface Output {
  /** One JSON object on one line, or an empty string. */
  readonly stdout: string;
  readonly exitCode: 0 | 1;
}
