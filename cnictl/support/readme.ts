import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { safeName } from './archive.ts';

/** A part of the bundle, and what became of it. */
export interface PartNote {
  /** The file, or the folder of a node. */
  readonly name: string;
  /** What it is. */
  readonly what: string;
  /** Why it is missing, or is not complete. */
  readonly problem?: string;
}

export interface ReadmeFacts {
  readonly madeAt: number;
  readonly version: string;
  readonly by: string;
  readonly parts: readonly PartNote[];
}

export const nodeNote = (node: string, files: number, problem?: string): PartNote => ({
  name: `nodes/${safeName(node)}/`,
  what: files === 0 ? `node ${node}` : `node ${node}: ${plural(files, 'file')}`,
  ...(problem !== undefined && { problem }),
});

/** Returns the README of the archive: what is in it, what is missing and why. */
export function readmeText({ madeAt, version, by, parts }: ReadmeFacts): string {
  const missing = parts.filter(({ problem }) => problem !== undefined);
  const width = Math.max(...parts.map(({ name }) => name.length));
  const list = parts.map(({ name, what }) => `  ${name.padEnd(width)}  ${printable(what)}\n`).join('');
  const lacks = missing.map(({ name, problem = '' }) => `  ${name}: ${printable(problem)}\n`).join('');
  return [
    `Support bundle of cellnet, made ${new Date(madeAt).toISOString()} by cnictl ${version}, ${printable(by)}.\n`,
    '\nIt has names of pods, nodes and images, and addresses: look through it before you send it.\n' +
      'Passwords, keys, tokens, and what is named like one, were left out or replaced by [redacted].\n',
    `\nWhat is in it:\n${list}`,
    missing.length === 0 ? '\nNothing is missing.\n' : `\nWhat is missing, or not complete:\n${lacks}`,
  ].join('');
}
