import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { edited } from '../../sim/bundle.ts';
import { MUTATIONS } from '../../sim/mutations.ts';

const ROOT = join(import.meta.dirname, '../../..');

// The system test finds each fault by a search of minutes; that its texts still stand is seen here.
suite('the faults that the simulator must find', () => {
  for (const { name, edits } of MUTATIONS)
    test(`${name}: each text that it replaces stands once in its file`, () => {
      for (const edit of edits) {
        const source = readFileSync(join(ROOT, edit.file), 'utf8');
        assert.notEqual(edited(source, edit), source);
      }
    });
});
