/** The documents of the repository, as values for the tests that check them. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { REPOSITORY } from './cni.ts';

/** Paths of all documents, relative to the repository. */
export const DOCUMENTS: readonly string[] = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(REPOSITORY, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => join('docs', file))
    .sort(),
];

export const readDocument = (path: string): string => readFileSync(join(REPOSITORY, path), 'utf8');

/** Returns the text without fenced and indented code; the latter begins after an empty line. */
function withoutCode(text: string): string[] {
  let isFenced = false;
  let isIndented = false;
  let before = '';
  return text.split('\n').filter((line) => {
    const isFence = /^\s*```/.test(line);
    if (isFence) isFenced = !isFenced;
    if (line.trim() !== '') isIndented = /^ {4}/.test(line) && (isIndented || before.trim() === '');
    before = line;
    return !isFence && !isFenced && !isIndented;
  });
}

/** Returns the anchors that GitHub gives the headings of a document. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const line of withoutCode(text)) {
    const heading = /^#{1,6} (.*?)\s*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const said = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = said.replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replace(/ /g, '-');
    let anchor = slug;
    for (let again = 1; anchors.has(anchor); again++) anchor = `${slug}-${again}`;
    anchors.add(anchor);
  }
  return anchors;
}

export interface Link {
  /** As it stands in the text. */
  readonly target: string;
  /** The path that it leads to, relative to the repository. */
  readonly path: string;
  readonly anchor: string | undefined;
}

/** Returns the links of a document that lead to another file of the repository, or into its own. */
export function linksOf(document: string, text: string): Link[] {
  const prose = withoutCode(text)
    .join('\n')
    .replace(/`[^`]*`/g, '``');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = '', anchor] = target.split('#');
    const path = file === '' ? document : normalize(join(dirname(document), file));
    return [{ target, path, anchor }];
  });
}

/**
 * Returns the code blocks of the section below a heading, each without its indentation.
 * @throws Error when the document has no such heading
 */
export function codeBelow(document: string, heading: string): string[] {
  const section = readDocument(document)
    .split(/^#+ /m)
    .find((each) => each.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`${document} has no heading '${heading}'`);
  const blocks = section.match(/(?:^ {4}.*\n(?:\n(?= {4}))?)+/gm) ?? [];
  return blocks.map((block) => block.replace(/^ {4}/gm, '').trimEnd());
}
