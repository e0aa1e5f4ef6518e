/**
 * Holds comments to test/prose.json: lines of at most 100 columns, and no words that hide the
 * actor. test/unit/docs/prose.test.ts holds the documents to it. A plugin of both linters.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const PROSE = JSON.parse(readFileSync(join(import.meta.dirname, 'prose.json'), 'utf8'));
const PLAIN = PROSE.words.map(({ pattern, instead }) => ({ pattern: new RegExp(pattern, 'u'), instead }));

/** oxlint's context cannot be destructured: its members are getters that need it. */
const prose = {
  create: (context) => ({
    Program: () => {
      const { sourceCode } = context;
      for (const { loc } of sourceCode.getAllComments()) {
        for (let line = loc.start.line; line <= loc.end.line; line++) {
          const text = sourceCode.lines[line - 1];
          const said = (line === loc.start.line ? text.slice(loc.start.column) : text)
            .replace(/^\s*(\/\*\*?|\*|\/\/)\s*/, '')
            .replace(/`[^`]*`/g, '``');
          const tell = (message) => context.report({ loc: { line, column: 0 }, message });
          if (text.length > PROSE.columns)
            tell(`A line with a comment has ${text.length} columns: at most ${PROSE.columns}.`);
          for (const { pattern, instead } of PLAIN) {
            const found = pattern.exec(said)?.[0];
            if (found !== undefined) tell(`'${found.trim()}' in a comment: write ${instead}.`);
          }
        }
      }
    },
  }),
};

export default { meta: { name: 'cellnet' }, rules: { prose } };
