import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { keysOf, keysOfRest, type Key } from '../../../../cnictl/map/keys.ts';

const ESC = '\u001b';
const texts = (keys: readonly Key[]): string[] =>
  keys.map((key) => (key.kind === 'named' ? key.name : key.character));

suite('keys of a terminal', () => {
  test('arrows and other keys, as terminals send them', () => {
    const { keys, rest } = keysOf(
      `${ESC}[A${ESC}OB${ESC}[C${ESC}[D${ESC}[5~${ESC}[6~${ESC}[H${ESC}[4~\r\n\u007f\b\u0003\u000cqü`,
    );
    assert.equal(rest, '');
    assert.deepEqual(texts(keys), [
      ...['up', 'down', 'right', 'left', 'page-up', 'page-down', 'home', 'end'],
      ...['enter', 'enter', 'backspace', 'backspace', 'interrupt', 'redraw', 'q', 'ü'],
    ]);
  });

  test('a sequence that comes in parts is one key; what does not go on was Esc', () => {
    const first = keysOf(`x${ESC}`);
    assert.deepEqual([texts(first.keys), first.rest], [['x'], ESC]);
    assert.deepEqual(texts(keysOf(`${first.rest}[`).keys), []);
    assert.deepEqual(texts(keysOf(`${first.rest}[A`).keys), ['up']);
    assert.deepEqual(texts(keysOfRest(ESC)), ['escape']);
    assert.deepEqual(texts(keysOfRest(`${ESC}[`)), ['escape', '[']);
    assert.deepEqual(keysOfRest(''), []);
    assert.deepEqual(texts(keysOf(`${ESC}${ESC}[B`).keys), ['escape', 'down']);
    assert.deepEqual(texts(keysOf(`${ESC}q`).keys), ['escape', 'q']);
  });

  test('unknown sequences and control characters count for nothing', () => {
    assert.deepEqual(texts(keysOf(`${ESC}[1;5A${ESC}[200~${ESC}OP\u0000\u001dj`).keys), ['j']);
  });

  test('whatever comes, split anywhere, gives the same keys, and none with a control character', () => {
    const parts = fc.constantFrom(ESC, '[', 'O', 'A', '5', '~', 'q', '\r', '\u009b', '\u0007', '漢', ';');
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 12 }), fc.nat(12), (characters, at) => {
        const whole = keysOf(characters.join(''));
        const first = keysOf(characters.slice(0, at).join(''));
        const second = keysOf(first.rest + characters.slice(at).join(''));
        assert.deepEqual([...first.keys, ...second.keys], whole.keys);
        assert.equal(second.rest, whole.rest);
        for (const text of texts(whole.keys)) assert.doesNotMatch(text, /\p{Cc}/u);
      }),
    );
  });
});
