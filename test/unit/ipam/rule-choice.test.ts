import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { matchesPattern, patternsOverlap } from '../../../ipam/model/pattern.ts';
import { bySpecificity, chooseRule, isEqualTo, type Facts, type Rule } from '../../../ipam/model/rule.ts';
import { rule } from '../../support/rule.ts';

const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 5 });
const names = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 6 });
/** The same by the regular expressions of the language. */
const likeRegExp = (pattern: string, name: string): boolean =>
  new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name);

suite('patterns of names', () => {
  test('a star stands for any characters', () =>
    fc.assert(
      fc.property(patterns, names, (pattern, name) => {
        assert.equal(matchesPattern(pattern, name), likeRegExp(pattern, name));
      }),
      { numRuns: 2_000 },
    ));

  test('two overlap if a name is described by both', () => {
    const all = (length: number): string[] =>
      length === 0 ? [''] : ['', ...all(length - 1).flatMap((rest) => [`a${rest}`, `b${rest}`])];
    const short = [...new Set(all(6))];
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 3 }), patterns, (a, b) => {
        const both = short.some((name) => likeRegExp(a, name) && likeRegExp(b, name));
        assert.equal(patternsOverlap(a, b), both, `${a} and ${b}`);
      }),
      { numRuns: 500 },
    );
  });
});

const LABELS = [{}, { app: 'web' }, { app: 'db' }, { app: 'web', tier: 'a' }];
const rules: fc.Arbitrary<Rule> = fc
  .record({
    namespace: fc.constantFrom('shop', 'shop-eu', 'shop*', '*', '*eu'),
    pod: fc.constantFrom('*', 'web-*', 'web-1', '*-1'),
    podLabels: fc.constantFrom(...LABELS),
    namespaceLabels: fc.constantFrom({}, { team: 'a' }),
    nodeLabels: fc.constantFrom({}, { zone: 'a' }, { zone: 'b' }),
    ownerKind: fc.constantFrom(undefined, 'StatefulSet'),
  })
  .map(({ ownerKind, ...more }) => rule('r', { ...more, ...(ownerKind !== undefined && { ownerKind }) }));
const PODS = ['shop', 'shop-eu', 'other'].flatMap((namespace) =>
  ['web-1', 'web-2', 'db-1'].map((name) => ({ namespace, name })),
);
const FACTS: readonly Required<Facts>[] = LABELS.flatMap((labels) =>
  ['a', 'b'].flatMap((zone) =>
    ['StatefulSet', undefined].flatMap((ownerKind) =>
      [{ team: 'a' }, {}].map((team) => ({
        pod: { labels, ownerKind, annotations: {} },
        namespace: { labels: team },
        node: { labels: { zone } },
      })),
    ),
  ),
);
const isRuleOf = (each: Rule, pod: (typeof PODS)[number], facts: Facts): boolean => {
  const choice = chooseRule([each], pod, facts);
  return 'rule' in choice && choice.rule !== undefined;
};

suite('the rule of a pod', () => {
  test('two equal rules are those that a pod can be between', () =>
    fc.assert(
      fc.property(rules, rules, (a, b) => {
        const shared = PODS.some((pod) =>
          FACTS.some((facts) => isRuleOf(a, pod, facts) && isRuleOf(b, pod, facts)),
        );
        if (shared && bySpecificity(a, b) === 0) assert.ok(isEqualTo(a, b));
        if (bySpecificity(a, b) !== 0) assert.ok(!isEqualTo(a, b));
        assert.equal(isEqualTo(a, b), isEqualTo(b, a));
      }),
      { numRuns: 1_000 },
    ));

  test('the most specific one, whatever their order', () =>
    fc.assert(
      fc.property(fc.array(rules, { maxLength: 6 }), (all) => {
        const some = all.filter((each, i) => !all.slice(0, i).some((other) => isEqualTo(other, each)));
        for (const pod of PODS) {
          for (const facts of FACTS.slice(0, 6)) {
            const [one, other] = [some, some.toReversed()].map((order) => chooseRule(order, pod, facts));
            assert.deepEqual(one, other);
          }
        }
      }),
      { numRuns: 200 },
    ));

  test('names decide before Kubernetes is asked', () => {
    const byLabel = rule('label', { podLabels: { app: 'web' } });
    const byName = rule('name', { pod: 'web-1' });
    const all = [byLabel, byName, rule('zone', { namespace: '*', nodeLabels: { zone: 'a' } })];
    assert.deepEqual(chooseRule(all, { namespace: 'shop', name: 'web-1' }, {}), { rule: byName });
    assert.deepEqual(chooseRule(all, { namespace: 'shop', name: 'web-2' }, {}), { asks: ['pod', 'node'] });
    const other = { pod: { labels: {}, ownerKind: undefined, annotations: {} } };
    assert.deepEqual(chooseRule(all, { namespace: 'shop', name: 'web-2' }, other), { asks: ['node'] });
    assert.deepEqual(chooseRule(all.slice(0, 2), { namespace: 'other', name: 'web-1' }, {}), {
      rule: undefined,
    });
  });
});
