import * as v from 'valibot';
import type { ExecEnded } from '../../cni/kube/pod-exec.ts';
import { decodeValue } from '../../ipam/records/decode.ts';
import { redactText } from '../doctor/redact.ts';
import type { TarEntry } from '../doctor/tar.ts';
import { plural } from '../render/plural.ts';
import { safeName } from './archive.ts';

/** What a node tells of itself: `cnictl support-bundle --this-node` prints it. */
export interface NodePart {
  readonly node: string;
  readonly files: readonly TarEntry[];
}

const printed = v.looseObject({ node: v.string(), files: v.record(v.string(), v.string()) });

export const nodePartJson = ({ node, files }: NodePart): object => ({
  node,
  files: Object.fromEntries(files.map(({ name, content }) => [name, content])),
});

/** Names the files of a node in the archive. Secrets of this machine are removed once more. */
export const filesOfNode = (
  node: string,
  files: readonly TarEntry[],
  secrets: readonly string[],
): TarEntry[] =>
  files.map(({ name, content }) => ({
    name: `nodes/${safeName(node)}/${safeName(name)}`,
    content: redactText(content, secrets),
  }));

/**
 * Reads what the program in the pod of a node's agent printed.
 * @returns a text when it is not what was expected
 */
export function readNodePart({ stdout, stderr, exitCode, message }: ExecEnded): readonly TarEntry[] | string {
  if (exitCode !== 0) return refusalOf(stderr, message);
  try {
    const result = decodeValue(printed, JSON.parse(stdout));
    if (!result.ok) return `its answer cannot be read: ${result.problem.message}`;
    return Object.entries(result.value.files).map(([name, content]) => ({ name, content }));
  } catch {
    return `its answer is no JSON: ${plural(stdout.length, 'character')}`;
  }
}

/** Releases before 0.2.0 have no such command. */
function refusalOf(stderr: string, message: string): string {
  if (/unknown command|unknown option/.test(stderr))
    return 'its cnictl is of a release before 0.2.0: on that node, cnictl doctor --bundle FILE';
  const [line = ''] = stderr.trim().split('\n');
  return [message, line].filter((text) => text !== '').join(': ') || 'it failed without a word';
}
