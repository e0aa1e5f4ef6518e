import type { Mutation } from './mutations.ts';

const one = (file: string, text: string, replacement = ''): Mutation['edits'] => [
  { file, text, replacement },
];

/** Guards, orders and steps of the programs, left out one by one. */
export const FAULTS_OF_GUARDS: readonly Mutation[] = [
  {
    name: 'cooldown-ignored',
    breaks: 'an address is given out again before it has rested',
    edits: one(
      'ipam/model/block.ts',
      `return slot.state === 'released' && Math.abs(now - slot.releasedAt) < restMs(slot, cooldownMs);`,
      `return slot.state === 'released' && slot.conflictMac !== undefined && Math.abs(now - slot.releasedAt) < restMs(slot, cooldownMs);`,
    ),
  },
  {
    name: 'rules-not-compared',
    breaks: 'an address is given out by rules that have changed since they were read',
    edits: one('ipam/allocate/allocate.ts', 'transaction.relyOnRules();'),
  },
  {
    name: 'rules-kept-after-change',
    breaks: 'a process keeps rules that have changed',
    edits: one(
      'ipam/store/rules.ts',
      'changed.value !== this.#changed || this.#known.size >= MOST_NAMESPACES',
      'this.#known.size >= MOST_NAMESPACES',
    ),
  },
  {
    name: 'cache-kept-after-lost-race',
    breaks: 'the cache of the agent outlives a lost race',
    edits: one('ipam/node/runner.ts', 'cache.delete(node);\n    const results', 'const results'),
  },
  {
    name: 'index-not-written',
    breaks: "a claim does not enter the block in the node's index",
    edits: one(
      'ipam/records/block-writes.ts',
      '.filter((node) => !were.has(node))',
      '.filter((node) => !were.has(node) && node !== after.node)',
    ),
  },
  {
    name: 'index-not-deleted',
    breaks: "a returned block stays in the node's index",
    edits: one('ipam/records/block-writes.ts', 'const left = before\n', 'const left = before && after\n'),
  },
  {
    name: 'machine-record-not-compared',
    breaks: "a change does not compare the node's machine record",
    edits: one('ipam/node/transaction.ts', 'asRead(machineKey(this.#node), before.machine?.entry),'),
  },
  {
    name: 'claimed-block-not-compared',
    breaks: 'a claim takes a block that another node holds by now',
    edits: one(
      'ipam/node/transaction.ts',
      '...[...this.#touched].map(([key, { before: was }]) => asRead(key, was?.entry)),',
      '...[...this.#touched.values()].flatMap(({ before: was }) => (was ? [same(was.entry)] : [])),',
    ),
  },
  {
    name: 'range-not-compared',
    breaks: 'a change does not compare the state of its range',
    edits: one(
      'ipam/node/transaction.ts',
      '...new Map(ranges.map((entry) => [`${entry.key} ${entry.value}`, same(entry)])).values(),',
    ),
    faults: [],
  },
  {
    name: 'claim-beside-range-set',
    breaks: 'a change of exclusions does not compare that the blocks stay unclaimed',
    edits: one('ipam/ranges/set-range.ts', '? keys.filter((_, i) => !entries[i]).map(absent)', '? []'),
    faults: [],
    setup: { edits: true },
  },
  {
    name: 'excluded-under-pods',
    breaks: 'a change of exclusions reserves addresses that pods have',
    edits: one('ipam/ranges/set-range.ts', 'if (inTheWay.length > 0) throw inUse(after.name, inTheWay);'),
    faults: [],
    setup: { edits: true },
  },
  {
    name: 'interface-made-for-new-routes',
    breaks: 'a repeated ADD for a running pod makes its interface again when its range has other routes',
    edits: one(
      'cni/attach/differences.ts',
      'plan.grant.allocations.some(({ routesChanged }) => routesChanged)',
      'plan.grant.allocations.length > 99',
    ),
    faults: [],
    setup: { edits: true },
  },
  {
    name: 'lock-not-taken',
    breaks: 'a reconcile clears an attachment without its lock',
    edits: one(
      'cni/reconcile/clear.ts',
      'unlock = platform.tryLock(own.stateDir, target);',
      'unlock = () => undefined;',
    ),
  },
  {
    name: 'undo-dropped',
    breaks: 'a failed ADD does not release what it allocated',
    edits: one(
      'cni/address/ipam.ts',
      'if (fresh.length > 0) undo.push(',
      'if (fresh.length > 99) undo.push(',
    ),
  },
  {
    name: 'deferral-dropped',
    breaks: 'a DEL that cannot release the address forgets it',
    edits: one('cni/verbs/del.ts', 'else deferTeardown(call, platform, !portGone);'),
  },
  {
    name: 'undo-not-deferred',
    breaks: 'an undo that fails is forgotten',
    edits: [
      ...one(
        'cni/verbs/add.ts',
        'if (!(await undo.revert())) leaveForLater(call, platform);',
        'await undo.revert();',
      ),
      ...one(
        'cni/address/ipam.ts',
        '    deferTeardown(call, platform, false);\n    throw error;',
        '    throw error;',
      ),
    ],
    faults: ['ovs', 'away', 'uncertain'],
  },
  {
    name: 'write-back-takes-blocks',
    breaks: 'a node that writes back takes over a block from which another node gives out',
    edits: one('ipam/node/write-back.ts', '!found || found.node === node || (!isRules && isAlone);', 'true;'),
    faults: ['set-back', 'empty', 'kill', 'power'],
  },
  {
    name: 'draining-node-ignored',
    breaks: 'a node that is draining gives out addresses',
    edits: one(
      'ipam/allocate/allocate.ts',
      'if (transaction.draining) {',
      'if (transaction.blocks.length > 999) {',
    ),
    faults: [],
  },
  {
    name: 'draining-range-ignored',
    breaks: 'a range that is draining gives out addresses',
    edits: one('ipam/allocate/eligible.ts', `range.state === 'active' &&`),
    faults: [],
  },
  {
    name: 'kept-address-not-found',
    breaks: 'a repeated ADD gets a second address',
    edits: one(
      'ipam/allocate/allocate.ts',
      '.filter(({ slot }) => isOwnedBy(slot, attachment))',
      `.filter(({ slot }) => slot.owner.containerId === '')`,
    ),
  },
  {
    name: 'released-before-the-link',
    breaks: 'a DEL releases the address while the link is still there',
    edits: [
      ...one('cni/verbs/del.ts', `await step('delete-link', () => deleteLink(platform, call.request));`),
      ...one(
        'cni/verbs/del.ts',
        `await step('forget', () => {`,
        `await deleteLink(platform, call.request);\n  await step('forget', () => {`,
      ),
    ],
    faults: [],
  },
  {
    name: 'allocations-after-links',
    breaks: 'a reconcile lists links before allocations, and clears after one look without a lock',
    edits: [
      ...one(
        'cni/reconcile/survey.ts',
        'const { held, whole, refused } = await readPlaces(platform, places, failures, dryRun);\n  const links = await (await platform.openKernel()).hostLinks();',
        'const links = await (await platform.openKernel()).hostLinks();\n  const { held, whole, refused } = await readPlaces(platform, places, failures, dryRun);',
      ),
      ...one(
        'cni/reconcile/observations.ts',
        'each.atOnce || (before.has(each.id) && leftMs(each) <= 0);',
        'true;',
      ),
      ...one(
        'cni/reconcile/clear.ts',
        'unlock = platform.tryLock(own.stateDir, target);',
        'unlock = () => undefined;',
      ),
      ...one(
        'cni/reconcile/clear.ts',
        'const now = await lookAgain(platform, own, target);',
        'const now = { ...(await lookAgain(platform, own, target)), ...target } as Known;',
      ),
    ],
    faults: [],
  },
  {
    name: 'block-not-returned-by-count',
    breaks: 'the agent returns a block that was used since its last look',
    edits: one(
      'ipam/allocate/warm-blocks.ts',
      'const again = found.filter(({ id, block }) => seen.has(id) && fits(block));',
      'const again = transaction.blocks.filter((_, i) => i > 0);',
    ),
    faults: [],
  },
  {
    name: 'late-request-sent',
    breaks: 'a request whose caller has given up is carried out',
    edits: [
      ...one('ipam/node/queued-request.ts', 'if (this.#ended) throw this.#late();'),
      ...one(
        'ipam/node/batcher.ts',
        'const due = batch.filter(({ expiresAt }) => expiresAt >= now);',
        'const due = batch;',
      ),
      ...one('ipam/node/batcher.ts', 'for (const each of batch) if (each.expiresAt < now) each.expire();'),
    ],
    faults: ['away', 'uncertain'],
  },
  {
    name: 'release-without-owner',
    breaks: "a release frees the addresses of the node's record, whatever container has them by now",
    edits: [
      ...one(
        'ipam/release/release.ts',
        'usedSlots(block, isMeant)',
        `usedSlots(block)
      .filter(({ address, slot }) => isMeant(slot) || request.addresses?.some((each) => sameAddress(each, address)))`,
      ),
    ],
    faults: ['kill', 'power', 'del', 'uncertain'],
  },
  {
    name: 'returned-block-not-compared',
    breaks: 'an operator returns a block out of which an address was given since the look',
    edits: one(
      'ipam/release/return-block.ts',
      'guards: [same(entry), asRead(indexKey, index)],',
      'guards: [],',
    ),
    faults: [],
  },
  {
    name: 'kept-given-away',
    breaks: 'an address that is kept for a pod is given to another one',
    edits: one('ipam/model/block.ts', '  !isKept(slot, now);', '  true;'),
    faults: [],
  },
  {
    name: 'kept-twice',
    breaks: 'a pod that is made again while its earlier one has the kept address gets another one',
    edits: one(
      'ipam/allocate/kept.ts',
      "if (keep && slot?.state === 'used' && isOfPod(slot, pod)) throw stillUsed(found, slot, pod);",
    ),
    faults: ['forget'],
  },
  {
    name: 'kept-key-not-compared',
    breaks: 'two nodes that make a pod of one name at once keep an address for it each',
    edits: one('ipam/allocate/kept.ts', 'guards.push(asRead(key, entry));'),
    faults: ['forget'],
  },
  {
    name: 'guest-block-not-compared',
    breaks: "a node takes a kept address out of another node's block without comparing it",
    edits: one(
      'ipam/node/transaction.ts',
      '...[...this.#touched].map(([key, { before: was }]) => asRead(key, was?.entry)),',
      '...[...this.#touched].flatMap(([key, { before: was, rangeEntry }]) => (was && rangeEntry ? [] : [asRead(key, was?.entry)])),',
    ),
    faults: ['forget'],
  },
  {
    name: 'guest-not-in-index',
    breaks: "a node that takes a kept address of another node's block does not enter it in its index",
    edits: one(
      'ipam/records/block-writes.ts',
      '.filter((node) => !were.has(node))',
      '.filter((node) => !were.has(node) && node === after.node)',
    ),
    faults: [],
  },
  {
    name: 'guest-cleared-by-the-holder',
    breaks: 'a node clears away what a pod of another node has of its blocks',
    edits: one(
      'ipam/node/allocations.ts',
      'usedSlots(block, (slot) => nodeOf(block, slot) === node)',
      'usedSlots(block)',
    ),
    faults: [],
  },
  {
    name: 'own-block-not-compared',
    breaks: "a node takes a further address out of a rule's own block without comparing it",
    edits: one(
      'ipam/node/transaction.ts',
      '...[...this.#touched].map(([key, { before: was }]) => asRead(key, was?.entry)),',
      "...[...this.#touched].flatMap(([key, { before: was, rangeEntry }]) => (was && !rangeEntry && was.block.node.startsWith('rule:') ? [] : [asRead(key, was?.entry)])),",
    ),
    faults: [],
    setup: { owns: true },
  },
  {
    name: 'own-blocks-for-all',
    breaks: "a pod of no rule gets an address of a rule's own block",
    edits: one(
      'ipam/allocate/pick-steps.ts',
      'if (blocksOf === undefined) return transaction.blocks;',
      'if (blocksOf === undefined) return transaction.held;',
    ),
    faults: [],
    setup: { owns: true },
  },
  {
    name: 'own-block-written-back-as-the-nodes',
    breaks: "a node that writes back claims a rule's own block for itself, and gives it to all",
    edits: one(
      'ipam/node/write-back.ts',
      'const holder = rule === undefined ? node : ruleHolder(rule);',
      "const holder = rule === 'none' ? ruleHolder(rule) : node;",
    ),
    faults: ['set-back', 'empty'],
    setup: { owns: true },
  },
];
