import { nodeOf, type Block, type KeptSlot, type UsedSlot } from '../model/block.ts';
import { ruleOf } from '../model/holder.ts';
import { fitOf, type Found, type Wanted } from './found.ts';

type NameKind = 'node' | 'rule' | 'namespace';

interface Sum {
  readonly fit: Found['fit'];
  addresses: number;
  blocks: number;
}

/** Nodes, rules and namespaces that fit, with how much each of them has. */
export class NameSums {
  readonly #wanted: Wanted;
  /** Undefined: the name does not fit. Each name is compared once. */
  readonly #sums: Readonly<Record<NameKind, Map<string, Sum | undefined>>> = {
    node: new Map(),
    rule: new Map(),
    namespace: new Map(),
  };

  constructor(wanted: Wanted) {
    this.#wanted = wanted;
  }

  /** A rule without any address counts, too. */
  addRule(name: string): void {
    this.#sum('rule', name);
  }

  addBlock(block: Block): void {
    const rule = ruleOf(block);
    const sum = rule === undefined ? this.#sum('node', block.node) : this.#sum('rule', rule);
    if (sum) sum.blocks += 1;
  }

  addSlot(block: Block, slot: UsedSlot | KeptSlot): void {
    const rule = ruleOf(block) ?? slot.keep?.rule;
    if (rule !== undefined) this.#count('rule', rule);
    const node = slot.state === 'used' ? nodeOf(block, slot) : undefined;
    if (node !== undefined && ruleOf({ node }) === undefined) this.#count('node', node);
    const namespace = slot.state === 'used' ? slot.owner.podNamespace : slot.pod.namespace;
    if (namespace !== undefined) this.#count('namespace', namespace);
  }

  /** Sorted by name. */
  found(): Found[] {
    return (['node', 'rule', 'namespace'] as const).flatMap((kind) =>
      [...this.#sums[kind]]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([text, sum]): Found[] => {
          if (!sum) return [];
          const { fit, addresses, blocks } = sum;
          return [{ kind, text, fit, addresses, ...(kind !== 'namespace' && { blocks }) }];
        }),
    );
  }

  #count(kind: NameKind, name: string): void {
    const sum = this.#sum(kind, name);
    if (sum) sum.addresses += 1;
  }

  #sum(kind: NameKind, name: string): Sum | undefined {
    const asked = this.#wanted.kind;
    if (asked !== undefined && asked !== kind) return undefined;
    const sums = this.#sums[kind];
    const known = sums.get(name);
    if (known || sums.has(name)) return known;
    const fit = fitOf(name, this.#wanted.text);
    const sum = fit === undefined ? undefined : { fit, addresses: 0, blocks: 0 };
    sums.set(name, sum);
    return sum;
  }
}
