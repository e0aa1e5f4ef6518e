import type { Rule } from '../../ipam/model/rule.ts';
import type { RangeUsage } from '../../ipam/query/range-usage.ts';
import type { RuleRecords } from '../../ipam/store/rules.ts';
import { fail, ok, warn, type Finding } from './finding.ts';
import { plural } from '../render/plural.ts';

/** Tells rules whose pods get no address, or soon none, and rules that cannot be read. */
export function judgeRules({ rules, unreadable }: RuleRecords, usages: readonly RangeUsage[]): Finding[] {
  const lines = [
    ...rules.flatMap((rule) => judgeRule(rule, usages)),
    ...unreadable.map(({ reason }) =>
      fail(
        'rules',
        `${reason}; pods that it may be for get no address`,
        'cnictl rule remove NAME, or mend it.',
      ),
    ),
  ];
  if (lines.length > 0 || rules.length === 0) return lines;
  return [ok('rules', plural(rules.length, 'rule'))];
}

function judgeRule({ name, ranges, fallback }: Rule, usages: readonly RangeUsage[]): Finding[] {
  // Its pods draw from all ranges of their network, which have lines of their own.
  if (ranges.length === 0) return [];
  const known = usages.filter(({ range }) => ranges.includes(range.name));
  const missing = ranges.filter((each) => !known.some(({ range }) => range.name === each));
  const active = known.filter(({ range }) => range.state === 'active');
  const then = fallback ? 'its pods get addresses of other ranges' : 'its new pods wait';
  const level = fallback ? warn : fail;
  if (active.length === 0) {
    const why = missing.length === ranges.length ? 'do not exist' : 'give out nothing: removed or draining';
    return [level('rules', `rule ${name}: its ranges (${ranges.join(', ')}) ${why}; ${then}`, REMEDY)];
  }
  const lines =
    missing.length > 0
      ? [warn('rules', `rule ${name}: there is no range ${missing.join(', ')}`, REMEDY)]
      : [];
  // An address that rests is free soon.
  if (active.every(({ free }) => free === 0))
    return [
      ...lines,
      level('rules', `rule ${name}: its ranges are full (${ranges.join(', ')}); ${then}`, REMEDY),
    ];
  if (active.every(({ blocks }) => blocks.claimed >= blocks.total))
    return [...lines, warn('rules', `rule ${name}: every block of its ranges is claimed`, REMEDY)];
  return lines;
}

const REMEDY =
  'Add a range, and the rule again with it: cnictl range add, rule remove, rule add; or look for leaks: cnictl check.';
