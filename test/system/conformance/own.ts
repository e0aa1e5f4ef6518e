import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { CASES, casesFor } from '../../conformance/cases.ts';
import { ownSubjects } from '../../conformance/subjects.ts';
import { runConformance } from '../../conformance/suite.ts';
import { VERSIONS, type PluginKind, type Subject } from '../../conformance/trial.ts';
import { newScope } from '../../support/netns.ts';

/**
 * Runs the suite of our plugin of that kind, without the agent and through it: every case at every
 * CNI version.
 */
export const ownConformance = (plugin: string, kind: PluginKind): void => {
  suite(`conformance of ${plugin} to CNI`, () => {
    const scope = newScope();
    let own: readonly Subject[] = [];
    before(async () => {
      own = await ownSubjects(scope);
    });
    after(() => scope.close());

    for (const name of [`${plugin} by itself`, `${plugin} by the agent`]) {
      test(`${name} holds every case at every version`, async (t) => {
        const subject = own.find((each) => each.name === name) ?? assert.fail();
        const outcomes = await runConformance(subject);
        assert.deepEqual([...new Set(outcomes.map(({ version }) => version))], [...VERSIONS]);
        assert.deepEqual(
          outcomes.map(({ version, of }) => `${version} ${of.section}: ${of.sentence}`),
          VERSIONS.flatMap((version) =>
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
