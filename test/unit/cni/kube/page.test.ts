import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../../../cni/kube/decode.ts';
import { decodePage, Snapshot, type Page } from '../../../../cni/kube/page.ts';

const list = (metadata: unknown, more: Record<string, unknown> = {}): unknown => ({
  kind: 'PodList',
  apiVersion: 'v1',
  metadata,
  items: [],
  ...more,
});
const refuses = (path: string) => (error: unknown) => error instanceof DecodeError && error.path === path;

test('a page in the middle and the last one', () => {
  assert.deepEqual(decodePage(list({ resourceVersion: '7', continue: 't', remainingItemCount: 3 }), 'Pod'), {
    resourceVersion: '7',
    continue: 't',
    remaining: 3,
    items: [],
  });
  assert.deepEqual(decodePage(list({ resourceVersion: '7', continue: '' }), 'Pod'), {
    resourceVersion: '7',
    items: [],
  });
});

for (const [what, value, path] of [
  ['another kind', list({ resourceVersion: '7' }, { kind: 'NodeList' }), 'kind'],
  ['a Status', { kind: 'Status', status: 'Failure' }, 'kind'],
  ['another API version', list({ resourceVersion: '7' }, { apiVersion: 'v2' }), 'apiVersion'],
  ['no metadata', list(undefined), 'metadata'],
  ['no resourceVersion', list({}), 'metadata.resourceVersion'],
  ['resourceVersion 0', list({ resourceVersion: '0' }), 'metadata.resourceVersion'],
  ['no items', list({ resourceVersion: '7' }, { items: undefined }), 'items'],
  ['items null', list({ resourceVersion: '7' }, { items: null }), 'items'],
  ['a negative count', list({ resourceVersion: '7', remainingItemCount: -1 }), 'metadata.remainingItemCount'],
  ['an array', [], 'the answer'],
] as const) {
  test(`refuses ${what}`, () => assert.throws(() => decodePage(value, 'Pod'), refuses(path)));
}

/** Returns the pages of an honest server. */
function pagesOf(total: number, size: number, announce: boolean): Page[] {
  const count = Math.max(1, Math.ceil(total / size));
  return Array.from({ length: count }, (_, i) => {
    const items = Array.from({ length: Math.min(size, total - i * size) });
    const left = total - i * size - items.length;
    return {
      resourceVersion: '7',
      items,
      ...(left === 0 ? {} : { continue: `t${i}`, ...(announce ? { remaining: left } : {}) }),
    };
  });
}

const shapes = fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 10 }));

test('takes the pages of any honest server, with and without counts', () => {
  fc.assert(
    fc.property(shapes, fc.boolean(), ([total, size], announce) => {
      const snapshot = new Snapshot();
      const tokens = pagesOf(total, size, announce).map((page) => snapshot.add(page));
      assert.equal(tokens.at(-1), undefined);
      assert.equal(snapshot.count, total);
    }),
  );
});

test('whichever items a server that counts leaves out, it is found out', () => {
  fc.assert(
    fc.property(shapes, fc.nat(), ([total, size], seed) => {
      const pages = pagesOf(total, size, true);
      fc.pre(pages.length > 1);
      const victim = 1 + (seed % (pages.length - 1));
      const short = pages.map((page, i) => (i === victim ? { ...page, items: page.items.slice(1) } : page));
      const snapshot = new Snapshot();
      assert.throws(() => short.forEach((page) => snapshot.add(page)), refuses('items'));
    }),
  );
});

test('refuses pages of different moments, a token twice, an end too soon', () => {
  const second = (page: Page) => () => {
    const snapshot = new Snapshot();
    snapshot.add({ resourceVersion: '7', continue: 't', items: [1], remaining: 2 });
    snapshot.add(page);
  };
  assert.throws(second({ resourceVersion: '8', items: [2, 3] }), refuses('metadata.resourceVersion'));
  assert.throws(second({ resourceVersion: '7', continue: 't', items: [2] }), refuses('metadata.continue'));
  assert.throws(second({ resourceVersion: '7', continue: 'u', items: [] }), refuses('items'));
  assert.throws(second({ resourceVersion: '7', items: [2], remaining: 1 }), refuses('metadata.continue'));
  assert.throws(second({ resourceVersion: '7', items: [2] }), refuses('items'));
  assert.doesNotThrow(second({ resourceVersion: '7', items: [2, 3] }));
  assert.doesNotThrow(
    second({ resourceVersion: '7', items: [2, 3, 4] }),
    'the count is an estimate, and nothing is lost',
  );
});

test('a list of another API group', () => {
  const slices = {
    kind: 'EndpointSliceList',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: { resourceVersion: '7' },
    items: [],
  };
  assert.equal(decodePage(slices, 'EndpointSlice', 'discovery.k8s.io/v1').resourceVersion, '7');
  assert.throws(() => decodePage(slices, 'EndpointSlice'), refuses('apiVersion'));
});
