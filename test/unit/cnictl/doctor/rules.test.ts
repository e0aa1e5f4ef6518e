import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { judgeRules } from '../../../../cnictl/doctor/rules.ts';
import type { Rule } from '../../../../ipam/model/rule.ts';
import { unusedRange, type RangeUsage } from '../../../../ipam/query/range-usage.ts';
import { rule } from '../../../support/rule.ts';
import { range } from '../../ipam/world.ts';

const shop = (more: Partial<Rule> = {}): Rule => rule('shop', more);
const usage = (name: string, more: Partial<RangeUsage> = {}): RangeUsage => ({
  ...unusedRange(range('10.30.0.0/28', { name })),
  ...more,
});
const judge = (rules: readonly Rule[], usages: readonly RangeUsage[]): string[] =>
  judgeRules({ rules, unreadable: [] }, usages).map(({ level, detail }) => `${level} ${detail}`);

suite("the doctor's lines of rules", () => {
  test('nothing without rules, one line while all is well', () => {
    assert.deepEqual(judge([], [usage('red')]), []);
    assert.deepEqual(judge([shop(), shop({ name: 'b' })], [usage('red')]), ['ok 2 rules']);
  });

  test('full ranges fail; with fallback they warn', () => {
    const full = usage('red', { free: 0 });
    assert.deepEqual(judge([shop()], [full]), [
      'fail rule shop: its ranges are full (red); its new pods wait',
    ]);
    assert.deepEqual(judge([shop({ fallback: true })], [full, usage('blue')]), [
      'warn rule shop: its ranges are full (red); its pods get addresses of other ranges',
    ]);
    const both = shop({ ranges: ['red', 'blue'] });
    assert.deepEqual(judge([both], [full, usage('blue')]), ['ok 1 rule']);
    const claimed = usage('red', { blocks: { total: 1, claimed: 1 } });
    assert.deepEqual(judge([shop()], [claimed]), ['warn rule shop: every block of its ranges is claimed']);
  });

  test('a rule without ranges has none that could be full', () => {
    const free = shop({ ranges: [], keep: {}, annotations: { kinds: ['ranges'] } });
    assert.deepEqual(judge([free], [usage('red', { free: 0 })]), ['ok 1 rule']);
  });

  test('ranges that are missing or draining', () => {
    const draining = usage('red', {
      range: { ...range('10.30.0.0/28', { name: 'red' }), state: 'draining' },
    });
    assert.deepEqual(judge([shop()], []), [
      'fail rule shop: its ranges (red) do not exist; its new pods wait',
    ]);
    assert.deepEqual(judge([shop()], [draining]), [
      'fail rule shop: its ranges (red) give out nothing: removed or draining; its new pods wait',
    ]);
    assert.deepEqual(judge([shop({ ranges: ['red', 'blue'] })], [usage('blue')]), [
      'warn rule shop: there is no range red',
    ]);
  });

  test('a rule that cannot be read', () => {
    const unreadable = [{ key: 'rules/in/shop/a', reason: 'is broken' }];
    const [line] = judgeRules({ rules: [], unreadable }, []);
    assert.equal(line?.level, 'fail');
  });
});
