import type { KubeApi } from '../../cni/kube/api.ts';
import type { AuditedAllocation } from '../../ipam/audit/judge.ts';
import { sameAddress, type Address } from '../../ipam/model/address.ts';
import { expectedOf, type Expected } from '../../ipam/model/block.ts';
import type { AddressView } from '../../ipam/query/views.ts';
import type { Read } from '../../ipam/records/unreadable.ts';
import { readRanges } from '../../ipam/store/ranges.ts';
import type { Context } from '../context/context.ts';
import { operatorOf } from '../context/operator.ts';
import type { OpenIpam } from '../context/world.ts';
import { ProgressLine } from '../render/progress.ts';
import { awaitCleared, condemnedTexts, overdueTexts, type Sentenced } from './await-cleared.ts';
import { freeAddress, type FreeOutcome } from './free.ts';
import { NodeLives, nodeLives } from './node-lives.ts';
import type { Looking } from './progress.ts';
import { releaseLeaks } from './release-leaks.ts';
import { releaseLog } from './release-log.ts';
import { provenLeaksOf, type LeakRecord } from './report.ts';
import { Wire } from './wire.ts';

/** An address to free. */
export interface Target {
  readonly address: Address;
  readonly expected: Expected | undefined;
  /** The report's entry, when a report names the address. */
  readonly leak?: LeakRecord;
}

/** An address to free, as it was before the operator was asked. */
export interface SeenTarget extends Target {
  readonly seen: Read<AddressView>;
}

export interface FreeAllOptions {
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly log?: string;
  /** Longest wait for agents that clear away what was condemned, in milliseconds. */
  readonly waitMs: number;
}

export interface Result {
  readonly address: Address;
  readonly outcome: FreeOutcome;
}

/**
 * Frees leaks from reports block by block, with the last look of `check`. Frees named addresses,
 * and everything under `force`, one by one. What cannot be read stays.
 */
export async function freeAll(
  context: Context,
  ipam: OpenIpam,
  kube: KubeApi | undefined,
  targets: readonly SeenTarget[],
  options: FreeAllOptions,
): Promise<Result[]> {
  const { dryRun = false, force = false } = options;
  const by = operatorOf(context.world);
  const write = dryRun ? () => undefined : releaseLog(context, options.log);
  const line = new ProgressLine(context.world, context.paint);
  const results: Result[] = [];
  const end = (
    { address, outcome }: Result,
    reason: string | undefined,
    allocation?: AuditedAllocation,
  ): void => {
    results.push({ address, outcome });
    write({ address, outcome, reason, allocation });
  };
  const readable = targets.flatMap((target) => {
    const { address, seen, leak } = target;
    if ('value' in seen) return [{ ...target, view: seen.value }];
    end({ address, outcome: { kind: 'unreadable', reason: seen.unreadable.reason } }, leak?.reason);
    return [];
  });
  const looking: Looking = {
    progress: (...at) => line.update(...at),
    warn: (text) => context.warn(text),
  };
  const lives = kube && !force ? await nodeLives(kube, looking) : new NodeLives(undefined);
  const means = { lives, wire: new Wire(context, looking.warn), by, dryRun };
  const sentenced: (Sentenced & {
    readonly reason: string | undefined;
    allocation: AuditedAllocation | undefined;
  })[] = [];
  const waitForAgents = async (): Promise<void> => {
    line.clear();
    const { world } = context;
    const { waitMs } = options;
    if (waitMs > 0) for (const text of condemnedTexts(sentenced)) context.warn(text);
    const overdue = await awaitCleared(ipam, sentenced, world, waitMs, (each, outcome) => {
      const { address, reason, allocation } = each;
      const at = results.findIndex((result) => sameAddress(result.address, address));
      results[at] = { address, outcome };
      write({ address, outcome, reason, allocation });
    });
    if (waitMs > 0) for (const text of overdueTexts(overdue)) context.warn(text);
  };
  const leaks = readable.flatMap(({ leak }) => leak ?? []);
  if (leaks.length > 0 && kube && !force) {
    for (const { address, leak } of readable)
      if (leak?.withheld !== undefined)
        end({ address, outcome: { kind: 'withheld', node: leak.node } }, leak.reason);
    const ranges = (await readRanges(ipam.store)).ranges.map(({ range }) => range);
    const free = leaks.filter(({ withheld }) => withheld === undefined);
    await releaseLeaks(ipam, kube, provenLeaksOf(free, ranges), {
      ...means,
      looking,
      onOutcome: (leak, outcome, allocation) => {
        const { address, expected, reason } = leak;
        end({ address, outcome }, reason, allocation);
        if (outcome.kind === 'condemned') sentenced.push({ address, expected, outcome, reason, allocation });
      },
    });
    await waitForAgents();
    return results;
  }
  for (const [i, { address, expected, leak, view }] of readable.entries()) {
    // Without a report, this releases the allocation that the operator saw before the question.
    const { slot } = view;
    const shown = expected ?? (slot?.state === 'used' ? expectedOf(slot) : undefined);
    const outcome = await freeAddress(ipam, kube, address, {
      ...means,
      force,
      ...(shown && { expected: shown }),
    });
    if (outcome.kind === 'condemned' && shown)
      sentenced.push({
        address,
        expected: shown,
        outcome,
        reason: outcome.reason,
        allocation: allocationOf(view),
      });
    end({ address, outcome }, leak?.reason, allocationOf(view));
    line.update('released', i + 1, readable.length);
  }
  await waitForAgents();
  return results;
}

function allocationOf({ address, node = '', range, slot }: AddressView): AuditedAllocation | undefined {
  if (slot?.state !== 'used') return undefined;
  return { address, node, range, blockKey: '', slot };
}
