import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderBar } from '../../../../cnictl/render/bar.ts';
import { makePaint, widthOf } from '../../../../cnictl/render/paint.ts';

const bar = (part: number, whole: number): string => renderBar(part, whole, makePaint(false)).slice(0, 12);

test('only what is empty looks empty, only what is full looks full, and a little looks like little', () => {
  assert.equal(bar(0, 1009), '░'.repeat(12));
  assert.equal(bar(2, 1009), `▏${'░'.repeat(11)}`);
  assert.equal(bar(80, 1009), `█${'░'.repeat(11)}`);
  assert.equal(bar(504, 1008), `${'█'.repeat(6)}${'░'.repeat(6)}`);
  assert.equal(bar(1008, 1009), `${'█'.repeat(11)}▉`);
  assert.equal(bar(1009, 1009), '█'.repeat(12));
  assert.equal(bar(0, 0), '░'.repeat(12));
});

test('is always as wide, and never shrinks as more is used', () => {
  const eighths = (text: string): number =>
    Array.from(text).reduce((sum, cell) => sum + Math.max(0, ' ▏▎▍▌▋▊▉█'.indexOf(cell)), 0);
  let before = 0;
  for (let part = 0; part <= 1009; part++) {
    const text = bar(part, 1009);
    assert.equal(widthOf(renderBar(part, 1009, makePaint(true))), 17);
    assert.ok(eighths(text) >= before, `${part}: ${text}`);
    before = eighths(text);
  }
  assert.equal(before, 96);
});
