import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCast, Recorder, type Cast } from '../demo/cast.ts';
import { castToSvg, spansOf } from '../demo/cast-svg.ts';
import { hold } from './hold.ts';

/** Prints a line every 0.4 s, then waits for a minute before the last. */
function recorded(): Cast {
  let now = 1_000;
  const recorder = new Recorder(() => now);
  for (let n = 1; n <= 40; n++) {
    recorder.print(`\u001b[32m ✓\u001b[0m step ${n} <${'x'.repeat(n * 3)}>\n`);
    now += 400;
  }
  now += 60_000;
  recorder.print('\n\u001b[1m\u001b[32mEvery step held\u001b[0m\u001b[0m\n');
  return recorder.cast('A demo', Date.parse('2026-11-30T12:00:00Z'));
}

test('a recording in the form of asciinema', () => {
  const [header, first, ...others] = formatCast(recorded()).trimEnd().split('\n');
  assert.deepEqual(JSON.parse(header ?? ''), {
    ...{ version: 2, width: 110, height: 30, timestamp: 1796040000, title: 'A demo' },
    ...{ idle_time_limit: 2, env: { TERM: 'xterm-256color' } },
  });
  assert.deepEqual(JSON.parse(first ?? ''), [0, 'o', '\u001b[32m ✓\u001b[0m step 1 <xxx>\r\n']);
  assert.deepEqual((JSON.parse(others.at(-1) ?? '') as unknown[])[0], 76);
});

test('a recording as an SVG', () => {
  const svg = castToSvg(recorded());
  hold('cast.svg', svg);
  // 15.6 s of lines, one shortened pause, and the last picture.
  assert.match(svg, /animation: play 22\.8s step-end infinite/);
  assert.match(svg, /0\.00% \{ transform: translateY\(464px\) \}/);
  assert.match(svg, /100% \{ transform: translateY\(-192px\) \}/);
});

test('sequences of a terminal become styles, and none is left', () => {
  assert.deepEqual(spansOf('a\u001b[1m\u001b[36mb\u001b[0mc'), [
    { classes: '', text: 'a' },
    { classes: 'b c', text: 'b' },
    { classes: '', text: 'c' },
  ]);

  assert.doesNotMatch(castToSvg(recorded()), /\u001b/);
});
