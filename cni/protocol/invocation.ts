import type { Environment } from './request.ts';

/** The two plugins are the same program with different verbs. */
export type Plugin = 'cellnet' | 'cellnet-ipam';

/** What a plugin process gets, and what it must answer: CNI SPEC section 2 and 5. */
export interface Input {
  readonly env: Environment;
  readonly stdin: string;
  /** Content of the shared configuration file and its path; undefined where there is none. */
  readonly sharedConfig: { readonly content: string; readonly file: string } | undefined;
}

export interface Output {
  /** One JSON object on a line, or nothing. */
  readonly stdout: string;
  readonly exitCode: 0 | 1;
}
