import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { CASES, casesFor } from '../../conformance/cases.ts';
import { ownSubjects } from '../../conformance/subjects.ts';
import { runConformance } from '../../conformance/suite.ts';
import { VERSIONS, type PluginKind, type Subject, type Version } from '../../conformance/trial.ts';
import { newScope } from '../../support/netns.ts';

/**
 * The version to run without the agent. Each call starts Node.js, and the agent runs the same code
 * at every version. `npm run conformance` runs all versions both ways.
 */
const BY_ITSELF: readonly Version[] = ['1.1.0'];

/** Runs every case of the suite with our plugin of that kind, without the agent and through it. */
export const ownConformance = (plugin: string, kind: PluginKind): void => {
  suite(`conformance of ${plugin} to CNI`, () => {
    const scope = newScope();
    let own: readonly Subject[] = [];
    before(async () => {
      own = await ownSubjects(scope);
    });
    after(() => scope.close());

    for (const [by, versions] of [
      ['by itself', BY_ITSELF],
      ['by the agent', VERSIONS],
    ] as const) {
      test(`${plugin} ${by} holds every case at ${versions.join(', ')}`, async (t) => {
        const subject = own.find((each) => each.name === `${plugin} ${by}`) ?? assert.fail();
        const outcomes = await runConformance(subject, { versions });
        assert.deepEqual(
          outcomes.map(({ version, of }) => `${version} ${of.section}: ${of.sentence}`),
          versions.flatMap((version) =>
            casesFor(kind, version).map((of) => `${version} ${of.section}: ${of.sentence}`),
          ),
        );
        t.diagnostic(`${outcomes.length} cases`);
        const failures = outcomes.flatMap(({ version, of, failure }) =>
          failure === undefined ? [] : [`${version} ${of.section}: ${of.sentence}: ${failure}`],
        );
        assert.deepEqual(failures, []);
      });
    }

    test('every case concerns some plugin of the run', () => {
      const kinds = new Set([...own.map((subject) => subject.kind), 'chained']);
      for (const { kinds: concerned, sentence } of CASES)
        assert.ok(concerned?.some((each) => kinds.has(each)) ?? true, sentence);
    });
  });
};
