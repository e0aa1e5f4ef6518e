import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from './cni.ts';

export interface Example {
  readonly command: string;
  /** What the page says that it prints. */
  readonly prints: string;
}

/**
 * Returns the commands of a page's examples, in order.
 * @param section its heading; absent: the whole page
 */
export function examplesOf(page: string, section?: string): Example[] {
  const text = readFileSync(join(REPOSITORY, page), 'utf8');
  const part = section === undefined ? text : text.split(/^## /m).find((each) => each.startsWith(section));
  const examples: { command: string; prints: string }[] = [];
  let last: { command: string; prints: string } | undefined;
  for (const line of (part ?? '').split('\n')) {
    if (line.startsWith('    $ ')) examples.push((last = { command: line.slice(6), prints: '' }));
    else if (last && line.startsWith('    ')) last.prints += `${line.slice(4)}\n`;
    else last = undefined;
  }
  return examples;
}
