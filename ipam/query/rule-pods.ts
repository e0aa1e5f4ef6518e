import { compareAddresses, type Address, type Cidr } from '../model/address.ts';
import type { SlotCounts } from '../model/block-counts.ts';
import { isKept, nodeOf, slotAddress, usedSlots, type Block } from '../model/block.ts';
import { ruleField, ruleOf } from '../model/holder.ts';
import { keptSlots } from '../model/kept-slot.ts';
import { asksOf, bySpecificity, isNamed, type PodIdentity, type Rule } from '../model/rule.ts';
import type { Ipam } from '../node/ipam.ts';
import type { UnreadableRecord } from '../records/unreadable.ts';
import { readRules } from '../store/rules.ts';
import { readAgain } from '../store/store.ts';
import { scanBlocks } from './views.ts';

/** An address of a pod that a rule is for. */
export interface PodOfRule extends PodIdentity {
  readonly node: string;
  readonly address: Address;
  readonly range: string;
  /** Name of the rule whose own block it is of; absent: a node's. */
  readonly rule?: string;
  /** `kept`: the pod is gone, and may come again. */
  readonly state: 'used' | 'kept';
}

/** A block that only pods of the rule use. */
export interface BlockOfRule {
  readonly cidr: Cidr;
  readonly range: string;
  readonly counts: SlotCounts;
}

export interface PodsOfRule {
  /**
   * The pods whose rule it is. Where it asks Kubernetes: those that it may be for, by their names.
   */
  readonly pods: readonly PodOfRule[];
  /** Those that are the rule's own, in the order of their addresses. */
  readonly blocks: readonly BlockOfRule[];
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Returns the pods with addresses whose rule it is, or would be if it were there. They keep their
 * addresses: only new pods get others.
 * @param withKept true for the addresses too that the rule keeps for pods that are gone
 * @throws IpamError `store-…`
 */
export function podsOfRule(ipam: Ipam, rule: Rule, withKept = false): Promise<PodsOfRule> {
  return readAgain(async () => {
    const { rules } = await readRules(ipam.store);
    // Those that need no answer and come before it.
    const before = rules.filter(
      (each) => each.name !== rule.name && asksOf(each).length === 0 && bySpecificity(each, rule) < 0,
    );
    const pods: PodOfRule[] = [];
    const own: BlockOfRule[] = [];
    const unreadable: UnreadableRecord[] = [];
    for await (const page of scanBlocks(ipam)) {
      unreadable.push(...page.unreadable);
      for (const { block, counts } of page.blocks) {
        if (ruleOf(block) === rule.name) own.push({ cidr: block.cidr, range: block.range, counts });
        if (withKept) pods.push(...keptByRule(block, rule, ipam.effects.now()));
        for (const { address, slot } of usedSlots(block)) {
          const { podNamespace: namespace, podName: name } = slot.owner;
          if (namespace === undefined || name === undefined) continue;
          const pod = { namespace, name };
          if (!isNamed(rule, pod) || before.some((each) => isNamed(each, pod))) continue;
          pods.push({
            namespace,
            name,
            node: nodeOf(block, slot),
            address,
            range: block.range,
            ...ruleField(block),
            state: 'used',
          });
        }
      }
    }
    own.sort((a, b) => compareAddresses(a.cidr.base, b.cidr.base));
    return { pods, blocks: own, unreadable };
  });
}

const keptByRule = (block: Block, rule: Rule, now: number): PodOfRule[] =>
  keptSlots(block, (slot) => slot.keep.rule === rule.name && isKept(slot, now)).map(({ index, slot }) => ({
    ...{ namespace: slot.pod.namespace, name: slot.pod.name, node: block.node },
    ...{ address: slotAddress(block, index), range: block.range, state: 'kept' as const },
  }));
