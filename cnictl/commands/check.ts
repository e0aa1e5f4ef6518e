import { parseCidr } from '../../ipam/model/address.ts';
import { keptDue, type Findings } from '../check/findings.ts';
import { renderFindings } from '../check/render.ts';
import type { RoundOptions } from '../check/round-options.ts';
import { checkRound } from '../check/round.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import { printable } from '../render/printable.ts';

export interface CheckOptions {
  readonly grace: string;
  readonly wait: string;
  readonly release?: boolean;
  readonly repair?: boolean;
  readonly save?: string;
  readonly log?: string;
  readonly yes?: boolean;
  /** Releases even when the API server has no pod at all. */
  readonly evenIfNoPods?: boolean;
  /** UID of the cluster that replaces the one that etcd belonged to. */
  readonly trustCluster?: string;
  /** Subnets from which another network gives addresses to pods, in CIDR notation. */
  readonly otherSubnet?: readonly string[];
  /** How long a pod must have been beyond its StatefulSet's replicas. */
  readonly scaledDownAfter: string;
  /** Ends also what is kept for pods of which there is no StatefulSet. */
  readonly orphaned?: boolean;
  /** Repeats the check until it is stopped. True: at the default interval. */
  readonly watch?: boolean | string;
  readonly metricsListen?: string;
}

/**
 * `check`: compares allocations with pods in both directions, and the records of etcd with one
 * another. After the grace, it looks again at what the first observation suspects, and reports only
 * what both found. Exit status 1 when a finding is not corrected, 2 when the findings mean nothing.
 * @throws CommandError for an invalid option, or when a release is requested and there is no pod;
 *   ClusterError when one is requested and the API server may be another cluster's
 */
export async function check(context: Context, options: CheckOptions): Promise<number> {
  const round = roundOptions(options);
  const changes = round.release ? '--release' : '--repair';
  const asks = (round.release || round.repair) && !round.yes;
  if (asks && (options.watch || !context.world.isTerminal)) {
    const why = options.watch
      ? 'nobody is asked in each round'
      : 'nobody can be asked, for this is no terminal';
    throw new CommandError(`check ${changes}: ${why}`, 'Add --yes.');
  }
  if (round.log !== undefined && !round.release)
    throw new CommandError('--log is the log of releases: expected --release with it');
  if (round.kept.orphaned && !round.release)
    throw new CommandError('--orphaned says what is released besides: expected --release with it');
  for (const file of [round.save, round.log]) if (file !== undefined) context.world.checkTarget(file);
  if (options.watch) {
    const { watch } = await import('../check/watch.ts');
    return await watch(context, round, options);
  }
  if (options.metricsListen !== undefined)
    throw new CommandError('--metrics-listen is for a service: expected --watch with it');
  const { left, isMeaningless } = await checkRound(context, round, {
    found: (found, report) =>
      context.print(
        report,
        () => renderFindings(found, context.paint, context.world.now()) + hint(context, found, round),
      ),
  });
  return isMeaningless ? 2 : left > 0 ? 1 : 0;
}

function roundOptions(options: CheckOptions): RoundOptions {
  return {
    graceMs: parseDuration(options.grace, '--grace'),
    // A watching check sees in its next round what was cleared away meanwhile.
    waitMs: options.watch ? 0 : parseDuration(options.wait, '--wait'),
    release: options.release ?? false,
    repair: options.repair ?? false,
    yes: options.yes ?? false,
    evenIfNoPods: options.evenIfNoPods ?? false,
    trustCluster: options.trustCluster,
    refuseOther: options.watch !== undefined && options.watch !== false,
    save: options.save,
    log: options.log,
    kept: {
      afterMs: parseDuration(options.scaledDownAfter, '--scaled-down-after', Infinity),
      orphaned: options.orphaned ?? false,
    },
    otherSubnets: (options.otherSubnet ?? []).map((text) => parseCidr(text, '--other-subnet')),
  };
}

const NODES_NAMED = 3;

/** An address of no range belongs to a range that etcd forgot, or to another network. */
function forgottenHint({ missing, lost }: Findings): string[] {
  const isForgotten = lost.nodes.length > 0 || missing.some(({ reason }) => reason === 'no-range');
  if (!isForgotten) return [];
  return [
    'Addresses of no range: etcd may have forgotten it. Put it back: cnictl restore FILE; do not end these pods.\n',
    'Where another network gave them: cnictl check --other-subnet CIDR\n',
  ];
}

/**
 * `check` does not free blocks of removed nodes, so this hint names the command that does. Where
 * one node has another name in the cluster, others may have too, and are not gone.
 */
function goneNodesHint({ stranded, aliases }: Findings): string[] {
  if (aliases.length > 0) {
    return [
      'One machine, two names: cnictl doctor on it. Nothing of it is released, and no node counts as gone\n',
    ];
  }
  const nodes = [...new Set(stranded.map(({ node }) => node))].sort();
  if (nodes.length === 0) return [];
  const commands = nodes.slice(0, NODES_NAMED).map((node) => `cnictl node remove ${printable(node)}`);
  const more = nodes.length > NODES_NAMED ? `; ${nodes.length - NODES_NAMED} more nodes` : '';
  return [`Free what nodes hold that are gone for good: ${commands.join('; ')}${more}\n`];
}

function hint({ paint }: Context, found: Findings, options: RoundOptions): string {
  const hints = [
    ...(found.leaked.length + keptDue(found).length > 0 && !options.release
      ? ['Free them: cnictl check --release, or cnictl release ADDRESS…\n']
      : []),
    ...(found.index.length > 0 && !options.repair
      ? ['Put keys of blocks right: cnictl check --repair\n']
      : []),
    ...(found.kept.some(({ reason }) => reason === 'orphaned') && !options.kept.orphaned
      ? ['Kept, and of no StatefulSet: cnictl release ADDRESS…, or cnictl check --release --orphaned\n']
      : []),
    ...forgottenHint(found),
    ...goneNodesHint(found),
  ];
  return hints.map((text) => paint.dim(text)).join('');
}
