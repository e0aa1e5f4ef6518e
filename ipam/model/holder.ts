/** A block, as far as its holder goes. */
interface Held {
  /** A node, or a rule. */
  readonly node: string;
}

/** Names of nodes have no colon. */
const RULE = 'rule:';

/** Returns who holds the own blocks of a rule, as `node` of the block. */
export const ruleHolder = (rule: string): string => `${RULE}${rule}`;

/** Returns the name of the rule that holds the block; undefined where a node does. */
export const ruleOf = ({ node }: Held): string | undefined =>
  node.startsWith(RULE) ? node.slice(RULE.length) : undefined;

/** The name of the rule that holds the block, as a field of what tells it. */
export function ruleField(block: Held): { readonly rule?: string } {
  const rule = ruleOf(block);
  return rule === undefined ? {} : { rule };
}

/** Says who holds a block: `node 'node-1'` or `rule 'web'`. */
export function holderText(block: Held): string {
  const rule = ruleOf(block);
  return rule === undefined ? `node '${block.node}'` : `rule '${rule}'`;
}
