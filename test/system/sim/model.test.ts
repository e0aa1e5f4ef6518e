import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EXPLORATIONS, LEFT_OUT, type ExplorationName } from '../../model/bounds.ts';
import { explore } from '../../model/explore.ts';
import { giveWay } from '../../support/give-way.ts';

// The search has no deadline, and gives way to files beside it that have one.
giveWay();

/** The explorations that take seconds; `npm run model` runs the others too. */
const SHORT: readonly ExplorationName[] = ['late', 'set-back'];

suite('the model', () => {
  for (const name of SHORT)
    test(`holds every rule in every order of the steps: ${name}`, () => {
      const { complete, violation, states } = explore({ ...EXPLORATIONS[name], without: [] });
      assert.deepEqual(violation, undefined);
      assert.ok(complete && states > 1_000, `${states} states`);
    });

  for (const { without, within } of LEFT_OUT)
    test(`finds what breaks without ${without.join(' and ')}`, () => {
      const { violation } = explore({ ...EXPLORATIONS[within], without });
      assert.ok(violation, `${within} finds nothing`);
      assert.ok(violation.trace.length < 30, violation.trace.join('\n'));
    });
});
