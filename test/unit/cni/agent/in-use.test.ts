import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { InUse } from '../../../../cni/agent/in-use.ts';

suite('what several callers use', () => {
  const start = (): { inUse: InUse; closed: () => number } => {
    let closed = 0;
    const close = (): void => {
      closed++;
    };
    return { inUse: new InUse(close), closed: () => closed };
  };

  test('is closed when the last use of it ends after it was retired, once', () => {
    const { inUse, closed } = start();
    const [first, second] = [inUse.begin(), inUse.begin()];
    first();
    first();
    inUse.retire();
    assert.equal(closed(), 0);
    second();
    second();
    inUse.retire();
    assert.equal(closed(), 1);
  });

  test('is closed at once where nothing uses it, and stays open while it is not retired', () => {
    const { inUse, closed } = start();
    inUse.begin()();
    assert.equal(closed(), 0);
    inUse.retire();
    assert.equal(closed(), 1);
  });
});
