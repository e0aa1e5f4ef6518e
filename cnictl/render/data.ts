import { Document, visit } from 'yaml';
import { isPrintable, printable } from './printable.ts';

/**
 * Returns JSON in which control characters that JSON lets through (DEL, C1, marks of direction) are
 * escapes too, which mean the same to every reader.
 * @param indent spaces; undefined for one line
 */
export const jsonText = (data: unknown, indent?: number): string =>
  `${printableJson(JSON.stringify(data, null, indent))}\n`;

export const printableJson = (text: string): string => text.split('\n').map(printable).join('\n');

/** Does the same for YAML: only double-quoted scalars have escapes (YAML 1.2 section 7.3.1). */
export function yamlText(data: unknown): string {
  const document = new Document(data);
  visit(document, {
    Scalar: (_, node) => {
      if (typeof node.value === 'string' && !isPrintable(node.value)) node.type = 'QUOTE_DOUBLE';
    },
  });
  return document.toString().split('\n').map(printable).join('\n');
}
