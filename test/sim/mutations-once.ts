import type { Mutation } from './mutations.ts';

/** Faults that earlier versions of the programs had. */
export const FAULTS_ONCE: readonly Mutation[] = [
  {
    name: 'revisions-compared',
    breaks: 'a change compares revisions, which come again after etcd was set back',
    edits: [
      {
        file: 'ipam/records/transaction.ts',
        text: `export const same = ({ key, value }: Pick<Entry, 'key' | 'value'>): Guard => ({ kind: 'same', key, value });`,
        replacement: `export const same = ({ key, revision }: Entry): Guard => ({ kind: 'unchanged', key, revision });`,
      },
    ],
    faults: ['set-back', 'empty'],
  },
  {
    name: 'nothing-written-back',
    breaks: 'a node does not write back what lives on it',
    edits: [
      {
        file: 'ipam/node/write-back.ts',
        text: 'const missing = await missingOf(context, finding);',
        replacement: 'const missing: string[] = [];',
      },
    ],
    faults: ['set-back', 'empty'],
  },
  {
    name: 'addresses-in-use-given-out',
    breaks: 'a node gives out an address that its own pod uses, if etcd calls it free',
    edits: [
      {
        file: 'ipam/allocate/unused.ts',
        text: 'if (!(await ipam.local.isUsedByOther(slotAddress(held.block, index), request.owner))) return next;',
        replacement: 'return next;',
      },
      {
        file: 'ipam/node/write-back.ts',
        text: 'const living = await context.local.livingCarriers(missing, finding.holders);',
        replacement: 'const living = { carriers: [] as CarriedAddress[], unlock: () => undefined };',
      },
    ],
    faults: ['set-back', 'empty'],
  },
  {
    name: 'not-probed-after-set-back',
    breaks: 'after a set-back a new address is not probed on the wire',
    edits: [
      {
        file: 'ipam/allocate/pick-steps.ts',
        text: 'const unproven = isDistrusted(setBack, ipam.effects.now());',
        replacement: 'const unproven = false;',
      },
    ],
    faults: ['empty'],
    setup: { agents: false, probe: false },
  },
  {
    name: 'machine-not-compared',
    breaks: "a clone of a machine works under the other's node name",
    edits: [
      {
        file: 'ipam/node/name-owner.ts',
        text: 'if (record && own && !ownsName(record, own)) throw otherMachine(node, record, own);',
        replacement: '',
      },
    ],
    faults: ['clone'],
  },
  {
    name: 'reboot-without-trace',
    breaks: 'one look and no trace on the disk prove that the node was rebooted',
    edits: [
      {
        file: 'cni/reconcile/verdict.ts',
        text: 'allocations.every(({ isTraced }) => isTraced),',
        replacement: 'true,',
      },
      {
        file: 'ipam/node/name-owner.ts',
        text: 'if (record && own && !ownsName(record, own)) throw otherMachine(node, record, own);',
        replacement: '',
      },
    ],
    faults: ['clone'],
  },
  {
    name: 'cluster-not-compared',
    breaks: 'a check against the API server of another cluster releases',
    edits: [
      {
        file: 'ipam/audit/cluster.ts',
        text: `return record.uid === uid ? { kind: 'ours', uid } : { kind: 'other', uid, record };`,
        replacement: `return { kind: 'ours', uid };`,
      },
    ],
    faults: ['cluster'],
  },
  {
    name: 'no-node-known',
    breaks: 'an API server that knows none of the nodes and none of the pods is believed',
    edits: [
      {
        file: 'cnictl/check/proof.ts',
        text: `if (standing === 'none-known') {`,
        replacement: 'if (false) {',
      },
      {
        file: 'cnictl/check/proof.ts',
        text: `if (identity.kind !== 'ours' && named > 0 && evidence.pods > 0 && !knowsPods)`,
        replacement: 'if (false)',
      },
    ],
    faults: ['cluster'],
  },
  {
    name: 'kept-without-undo',
    breaks: 'an ADD that finds its own unanswered allocation takes it for an earlier one',
    edits: [
      {
        file: 'ipam/node/runner.ts',
        text: 'const mine = sent.find(({ change }) => isWritten(change, before));',
        replacement: 'const mine = undefined as Sent<T> | undefined;',
      },
      {
        file: 'ipam/allocate/allocate.ts',
        text: '(each) => attempted.find((mine) => isSameAllocation(mine, each)) ?? each,',
        replacement: '(each) => each,',
      },
    ],
    faults: ['uncertain', 'ovs'],
    setup: { endpoints: 3 },
  },
  {
    name: 'uncertain-not-deferred',
    breaks: 'an ADD whose commit got no answer leaves nothing that releases it',
    edits: [
      {
        file: 'cni/address/ipam.ts',
        text: 'if (error instanceof IpamError && error.uncertain && !record) deferTeardown(call, platform, false);',
        replacement: '',
      },
    ],
    faults: ['uncertain'],
  },
  {
    name: 'running-pod-deferred',
    breaks: 'a repeated ADD without a certain answer leaves a teardown that frees what the pod uses',
    edits: [
      {
        file: 'cni/address/ipam.ts',
        text: 'error.uncertain && !record)',
        replacement: 'error.uncertain)',
      },
    ],
    // Those of the only story that is known to show it.
    faults: ['uncertain', 'kill', 'ovs', 'clock', 'compact', 'records', 'cluster', 'empty'],
    setup: { keeps: false },
  },
  {
    name: 'del-believes-what-it-reads',
    breaks: 'a DEL ends the deferred teardown of an ADD whose transaction lands later',
    edits: [
      {
        file: 'cni/address/ipam.ts',
        text: 'const fencing = known !== undefined || pending !== undefined;',
        replacement: 'const fencing = false;',
      },
    ],
    faults: ['uncertain'],
  },
  {
    name: 'lost-race-believed',
    breaks: 'a transaction that the client repeated counts as lost, though it was carried out',
    edits: [
      {
        file: 'ipam/node/runner.ts',
        text: 'throw races.seemLost ? asUncertain(error) : error;',
        replacement: 'throw error;',
      },
    ],
    faults: ['uncertain'],
    setup: { endpoints: 3 },
  },
  {
    name: 'silent-server-asked-again',
    breaks: 'a call asks a silent server again and again, without a deadline for the whole call',
    edits: [
      {
        file: 'cni/platform/deadlines.ts',
        text: 'return await work(Math.min(own, this.#expiresAt), this.#expiresAt);',
        replacement: 'return await work(own, Infinity);',
      },
      {
        file: 'cni/platform/deadlines.ts',
        text: 'const earlier = this.#silent.get(server) ?? this.#hurried.get(server);',
        replacement: 'const earlier = undefined as Error | undefined;',
      },
      {
        file: 'cni/platform/deadlines.ts',
        text: 'if (now >= this.#expiresAt)',
        replacement: 'if (false)',
      },
      {
        file: 'cni/deferred/deferred.ts',
        text: 'if (platform.deadlines.passed) break;',
        replacement: '',
      },
      {
        file: 'cni/deferred/deferred.ts',
        text: 'if (failed.has(serversOf(listed)) || waitsInVain(platform, listed)) continue;',
        replacement: '',
      },
    ],
    faults: ['ovs', 'away', 'uncertain'],
  },
  {
    name: 'every-block-compared',
    breaks: 'a change compares every block of the node: more than etcd does in one transaction',
    edits: [
      {
        file: 'ipam/node/transaction.ts',
        text: '...[...this.#touched].map(([key, { before: was }]) => asRead(key, was?.entry)),',
        replacement: '...before.blocks.map(({ entry }) => same(entry)),',
      },
    ],
    faults: [],
    setup: { crowded: true },
  },
  {
    name: 'range-added-over-living-pods',
    breaks: 'an operator adds a range that etcd forgot, over the pods that live in it',
    edits: [
      {
        file: 'cnictl/commands/range-add-pods.ts',
        text: 'if (living.length === 0) return;',
        replacement: 'return;',
      },
    ],
    faults: ['empty'],
  },
  {
    name: 'failed-is-finished',
    breaks: 'a pod of the phase Failed uses nothing, though a container of it runs',
    edits: [
      {
        file: 'ipam/audit/judge.ts',
        text: 'return FINISHED.has(pod.phase) && !pod.hasRunningContainer',
        replacement: 'return FINISHED.has(pod.phase)',
      },
    ],
    faults: ['kube'],
  },
  {
    name: 'lost-port-believed',
    breaks: 'a living pod whose port somebody removed stays without one',
    edits: [
      {
        file: 'cni/reconcile/verdict.ts',
        text: "return portFault && link === 'carrier' ? { kind: 'broken', reason: portFault } : LIVES;",
        replacement: 'return LIVES;',
      },
    ],
    faults: ['port'],
  },
  {
    name: 'interface-made-for-its-port',
    breaks: 'a repeated ADD for a running pod that lost its port makes its whole interface again',
    edits: [
      {
        file: 'cni/attach/standing.ts',
        text: 'onSwitch.length === 0 : link.carrier;',
        replacement: 'onSwitch.length === 0 : false;',
      },
    ],
    faults: ['port'],
  },
  {
    name: 'one-bad-range',
    breaks: 'one bad record below `ranges/` stops claims on every node',
    edits: [
      {
        file: 'ipam/store/ranges.ts',
        text: 'else unreadable.push(read.unreadable);',
        replacement: 'else throw unreadableError(read.unreadable);',
      },
    ],
    faults: ['records'],
  },
  {
    name: 'one-bad-block',
    breaks: 'one bad block stops its node',
    edits: [
      {
        file: 'ipam/node/node-blocks.ts',
        text: '.map((entry) => readRecord(entry, (key, value) => readHeld({ ...entry, key, value }, ranges)));',
        replacement: '.map((entry) => ({ value: readHeld(entry, ranges) }));',
      },
    ],
    faults: ['records'],
  },
  {
    name: 'deadlines-by-the-wall-clock',
    breaks: 'the queue to etcd measures deadlines by the wall clock',
    edits: [
      {
        file: 'ipam/node/batcher.ts',
        text: 'const now = this.#context.effects.monotonic();\n    const due',
        replacement: 'const now = this.#context.effects.now();\n    const due',
      },
    ],
  },
  {
    name: 'released-on-the-wire',
    breaks: 'a check releases what leaked on a node that lives, whose interface is still up',
    edits: [
      {
        file: 'cnictl/check/end-leaks.ts',
        text: "return life === 'silent'",
        replacement: 'return means.lives !== undefined',
      },
      {
        file: 'cnictl/check/end-leaks.ts',
        text: '[absent(aliveKey(node))],',
        replacement: '[],',
      },
      {
        file: 'cnictl/check/end-leaks.ts',
        text: 'answers.get(formatAddress(address));',
        replacement: 'undefined;',
      },
    ],
    faults: ['forget'],
  },
];
