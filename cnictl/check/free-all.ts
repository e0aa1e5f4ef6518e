import type { KubeApi } from '../../cni/kube/api.ts';
import type { AuditedAllocation } from '../../ipam/audit/judge.ts';
import type { Address } from '../../ipam/model/address.ts';
import { expectedOf, type Expected } from '../../ipam/model/block.ts';
import type { AddressView } from '../../ipam/query/views.ts';
import { readRanges } from '../../ipam/store/ranges.ts';
import type { Context } from '../context/context.ts';
import { operatorOf } from '../context/operator.ts';
import type { OpenIpam } from '../context/world.ts';
import { ProgressLine } from '../render/progress.ts';
import { freeAddress, type FreeOutcome } from './free.ts';
import { releaseLeaks } from './release-leaks.ts';
import { releaseLog } from './release-log.ts';
import { condemnedOf, type LeakRecord } from './report.ts';

/** An address to free. */
export interface Target {
  readonly address: Address;
  readonly expected: Expected | undefined;
  /** The report's entry, when a report names the address. */
  readonly leak?: LeakRecord;
}

export interface FreeAllOptions {
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly log?: string;
}

export interface Result {
  readonly address: Address;
  readonly outcome: FreeOutcome;
}

/**
 * Frees leaks from reports block by block, with the last look of `check`. Frees named addresses,
 * and everything under `force`, one by one.
 */
export async function freeAll(
  context: Context,
  ipam: OpenIpam,
  kube: KubeApi | undefined,
  targets: readonly Target[],
  views: readonly AddressView[],
  options: FreeAllOptions,
): Promise<Result[]> {
  const { dryRun = false, force = false } = options;
  const by = operatorOf(context.world);
  const write = dryRun ? () => undefined : releaseLog(context, options.log);
  const line = new ProgressLine(context.world, context.paint);
  const results: Result[] = [];
  const leaks = targets.flatMap(({ leak }) => leak ?? []);
  if (leaks.length > 0 && kube && !force) {
    for (const { address, leak } of targets) {
      if (leak?.withheld === undefined) continue;
      results.push({ address, outcome: { kind: 'withheld', node: leak.node } });
    }
    const ranges = (await readRanges(ipam.store)).map(({ range }) => range);
    await releaseLeaks(
      ipam,
      kube,
      condemnedOf(
        leaks.filter(({ withheld }) => withheld === undefined),
        ranges,
      ),
      {
        dryRun,
        by,
        looking: { progress: (...at) => line.update(...at), warn: (text) => context.warn(text) },
        onOutcome: ({ address, reason }, outcome, allocation) => {
          results.push({ address, outcome });
          write({ address, outcome, reason, allocation });
        },
      },
    );
    line.clear();
    return results;
  }
  for (const [i, { address, expected, leak }] of targets.entries()) {
    // Without a report, this releases the allocation that the operator saw before the question.
    const slot = views[i]?.slot;
    const shown = expected ?? (slot?.state === 'used' ? expectedOf(slot) : undefined);
    const outcome = await freeAddress(ipam, kube, address, {
      dryRun,
      force,
      by,
      ...(shown && { expected: shown }),
    });
    results.push({ address, outcome });
    write({ address, outcome, reason: leak?.reason, allocation: allocationOf(views[i]) });
    line.update('released', i + 1, targets.length);
  }
  line.clear();
  return results;
}

function allocationOf(view: AddressView | undefined): AuditedAllocation | undefined {
  if (view?.slot?.state !== 'used') return undefined;
  const { address, node = '', range, slot } = view;
  return { address, node, range, blockKey: '', slot };
}
