import type { Rule } from '../../ipam/model/rule.ts';

/** Returns a rule that gives the pods of namespace `shop` addresses of range `red`. */
export const rule = (name: string, more: Partial<Rule> = {}): Rule => ({
  ...{ name, namespace: 'shop', pod: '*', podLabels: {}, namespaceLabels: {}, nodeLabels: {} },
  ...{ ranges: ['red'], fallback: false, addedAt: 0, ...more },
});
