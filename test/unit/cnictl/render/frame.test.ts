import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { drawLine, fit, lineText, redraw, type Line, type Style } from '../../../../cnictl/render/frame.ts';
import { Screen } from '../../../support/screen.ts';

const STYLES: readonly Style[] = ['plain', 'bold', 'dim', 'green', 'red', 'title'];
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('10.20.0.0/28', '\u001b[2J', '\u001b]0;t\u0007', '\u009b', '漢字', '\u202e', '█░…'),
);
const piece = fc.record({ text, style: fc.constantFrom(...STYLES), inverse: fc.boolean() });
const lines = fc.array(fc.array(piece, { maxLength: 4 }), { maxLength: 6 });

suite('drawing a screen', () => {
  test('whatever the text, nothing steers the terminal, and nothing is beyond its edge', () => {
    fc.assert(
      fc.property(lines, fc.integer({ min: 1, max: 30 }), fc.boolean(), (drawn, columns, colours) => {
        const screen = Screen.taken(columns, 4);
        screen.write(redraw(undefined, drawn, { columns, rows: 4 }, colours).text);
        assert.deepEqual(screen.unknown, []);
        const expected = [0, 1, 2, 3].map((row) => (drawn[row] ? lineText(drawn[row]) : ''));
        assert.deepEqual(
          screen.lines,
          expected.map((line) => line.slice(0, columns).trimEnd()),
        );
      }),
    );
  });

  test('one screen after another: the same as drawn at once, and unchanged rows are not sent', () => {
    fc.assert(
      fc.property(lines, lines, (first, second) => {
        const size = { columns: 20, rows: 5 };
        const [screen, other] = [Screen.taken(20, 5), Screen.taken(20, 5)];
        const before = redraw(undefined, first, size, true);
        const after = redraw(before.drawn, second, size, true);
        screen.write(before.text + after.text);
        other.write(redraw(undefined, second, size, true).text);
        assert.equal(screen.text, other.text);
        assert.equal(redraw(after.drawn, second, size, true).text, '');
      }),
    );
    const size = { columns: 20, rows: 3 };
    const [a, b, c]: Line[] = [[{ text: 'a' }], [{ text: 'b' }], [{ text: 'c' }]];
    const { drawn } = redraw(undefined, [a, b, c] as Line[], size, true);
    assert.equal(redraw(drawn, [a, [{ text: 'B' }], c] as Line[], size, true).text, '\u001b[2;1HB\u001b[K');
  });

  test('without colours the cursor and titles still show', () => {
    const line: Line = [
      { text: 'T', style: 'title' },
      { text: 'g', style: 'green' },
      { text: 'c', style: 'red', inverse: true },
    ];
    assert.equal(drawLine(line, 9, false).text, '\u001b[1mT\u001b[0mg\u001b[7mc\u001b[0m');
    assert.equal(drawLine(line, 2, true).text, '\u001b[1mT\u001b[0m\u001b[32mg\u001b[0m');
  });

  test('a text is cut or filled up to its width', () => {
    assert.equal(fit('node-17', 5), 'node…');
    assert.equal(fit('7', 3, true), '  7');
    assert.equal(fit('\n', 4), '\\n  ');
    assert.equal(fit('漢', 2), '? ');
  });
});
