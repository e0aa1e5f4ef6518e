import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import {
  documentOf,
  FIXED_TEXTS,
  roundCount,
  roundTime,
  rowOf,
  summaryOf,
  tellCalls,
} from '../../faults/document.ts';
import { chooseFaults, FAULTS } from '../../faults/faults.ts';
import type { FaultResult } from '../../faults/run.ts';
import { REPOSITORY } from '../../support/cni.ts';

const [fault] = FAULTS;
const result = (change: Partial<FaultResult> = {}): FaultResult => {
  assert.ok(fault);
  return {
    fault,
    adds: {
      done: 123,
      refused: [{ code: 11, message: 'etcd at … | down', count: 4 }],
      medianMs: 120,
      longestMs: 5_400,
    },
    dels: { done: 98, refused: [], medianMs: 20, longestMs: 900 },
    lastedMs: 8_100,
    silentMs: 0,
    recoveryMs: 700,
    sign: 'doctor: fail etcd …: unreachable',
    verified: { twoOwners: [], lost: ['10.0.0.1'], leaked: [], left: [] },
    problems: [],
    ...change,
  };
};

suite('the document of a fault run', () => {
  test('times and counts are rounded', () => {
    assert.deepEqual([10, 120, 1_940, 5_400].map(roundTime), ['< 0.1 s', '0.1 s', '1.9 s', '5 s']);
    assert.deepEqual([0, 7, 123, 1_290].map(roundCount), ['0', '7', '120', '1300']);
  });

  test('a row of the figures', () => {
    assert.equal(
      rowOf(result()),
      '| etcd: leader killed | 8 s | 120 done, 4 refused; 0.1 s, at most 5 s | 98 done; < 0.1 s, at most 0.9 s | no packet lost | 0.7 s | 0 / 1 / 0 / 0 |',
    );
    assert.match(
      rowOf(result({ silentMs: 7_800, recoveryMs: undefined })),
      /\| no answer for 8 s \| never \|/,
    );
    assert.equal(tellCalls({ done: 0, refused: [], medianMs: 0, longestMs: 0 }), 'none');
  });

  test('a bar in a message does not end its cell', () => {
    assert.match(documentOf([result()]), /`ADD: code 11, etcd at … \\\| down`/);
  });

  test('the summary counts all faults', () => {
    assert.match(summaryOf([result(), result()]), /2 faults, 0 addresses had two owners, 2 were lost/);
  });

  test('docs/reliability.md has a row for each fault, and no other', () => {
    const text = readFileSync(join(REPOSITORY, 'docs/reliability.md'), 'utf8');
    for (const fixed of FIXED_TEXTS) assert.ok(text.includes(fixed), `expected in it: ${fixed}`);
    const names = [...text.matchAll(/^\| [^|]+ \(`([\w-]+)`\) \|/gm)].map(([, name]) => name);
    assert.deepEqual(
      names,
      FAULTS.map(({ name }) => name),
    );
  });

  test('an unknown name is refused, with those that there are', () => {
    assert.throws(() => chooseFaults(['flood']), /no fault flood: expected some of etcd-leader-killed/);
    assert.deepEqual(chooseFaults([]), FAULTS);
    assert.deepEqual(chooseFaults(['etcd-leader-killed']), [fault]);
  });
});
