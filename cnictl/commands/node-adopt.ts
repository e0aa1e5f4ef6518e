import { isMachineId, MACHINE_ID_FORM } from '../../ipam/model/machine.ts';
import { didYouMean } from '../../ipam/model/nearest.ts';
import { adoptName, viewName, type NameView } from '../../ipam/node/name-records.ts';
import { indexedNodes } from '../../ipam/query/node-view.ts';
import { checkNodeName } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { formatDuration, parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import type { OpenIpam } from '../context/world.ts';
import { judgeAdoption, ownerText, SILENT_AFTER_MS, watched, type Watched } from '../node/adoption.ts';
import { printable } from '../render/printable.ts';
import { nameJson, nameText } from './node-name.ts';

export interface NodeAdoptOptions {
  readonly machine: string;
  readonly wait: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

interface Adoption {
  readonly context: Context;
  readonly ipam: OpenIpam;
  readonly node: string;
  readonly machine: string;
  readonly waitMs: number;
}

/** Time between two looks, in milliseconds. */
const LOOK_EVERY_MS = 5_000;

/**
 * `node adopt`: lets a machine that replaces another one take over its node name. It waits until
 * the other one is silent. Exit status 2 when it is not.
 * @throws CommandError when the other machine may live, nothing has been written under the name, or
 *   its record cannot be read
 */
export async function nodeAdopt(context: Context, node: string, options: NodeAdoptOptions): Promise<number> {
  checkNodeName(node);
  const { machine, dryRun = false, yes = false } = options;
  if (!isMachineId(machine))
    throw new CommandError(
      `--machine '${machine}': expected ${MACHINE_ID_FORM}`,
      'The error of the refused machine names it; so does `cnictl doctor` there.',
    );
  const waitMs = parseDuration(options.wait, '--wait');
  if (waitMs < SILENT_AFTER_MS)
    throw new CommandError(
      `--wait '${options.wait}': expected at least ${formatDuration(SILENT_AFTER_MS)}, after which a machine counts as silent`,
    );
  return await context.withIpam(async (ipam) => {
    const adoption = { context, ipam, node, machine, waitMs };
    const first = await look(adoption, undefined, 0);
    const verdict = judgeAdoption(first, machine);
    if (verdict.kind === 'nothing') throw nothing(node, await indexedNodes(ipam));
    if (verdict.kind === 'already') return report(adoption, first.first.view, 'already');
    if (dryRun) return report(adoption, first.first.view, 'would-adopt');
    context.warn(`${node}: ${nameText(first.first.view, context.world.now()).join('; ')}`);
    await context.confirm(
      `This gives node name '${printable(node)}' to machine ${machine}: ${ownerText(first.first.view)} is refused from then on`,
      yes,
    );
    await adopt(adoption, first);
    return report(adoption, first.first.view, 'adopted');
  });
}

const nothing = (node: string, known: readonly string[]): CommandError =>
  new CommandError(
    `no machine has written under node name '${node}': there is nothing to adopt`,
    `${didYouMean(node, known)}The first machine that writes under a name has it. Look at the name: cnictl node list.`,
  );

/** @param afterMs milliseconds since the first look */
async function look(
  { ipam, node, machine }: Adoption,
  before: Watched | undefined,
  afterMs: number,
): Promise<Watched> {
  const view = await viewName(ipam.store, node);
  const [problem] = view.problems;
  if (problem !== undefined)
    throw new CommandError(
      `${problem}: nothing was changed`,
      'docs/etcd-records.md describes the record; `etcdctl get` shows it.',
    );
  return watched(before, { view, at: afterMs }, machine);
}

/**
 * Looks until the machine that has the name is silent, then gives the name away.
 * @throws CommandError when it may live at the end of the wait
 */
async function adopt(adoption: Adoption, first: Watched): Promise<void> {
  const { context, ipam, machine, waitMs } = adoption;
  context.warn(`waiting until it is silent for ${formatDuration(SILENT_AFTER_MS)}`);
  let now = first;
  // The pauses alone count as the time that passed: a clock may jump, and the rest is longer.
  for (let afterMs = 0; ;) {
    const verdict = judgeAdoption(now, machine);
    if (verdict.kind === 'nothing') throw nothing(adoption.node, []);
    if (verdict.kind === 'already') return;
    if (verdict.kind === 'silent' && (await adoptName(ipam.store, now.last.view, machine))) return;
    const pauseMs = Math.min(LOOK_EVERY_MS, waitMs - afterMs);
    if (pauseMs <= 0) {
      throw new CommandError(
        `${verdict.kind === 'may-live' ? verdict.why : 'it has just written'}: nothing was changed`,
        'Stop the agent and the kubelet of that machine for good, or switch it off. If both machines are to run, give one of them a node name of its own.',
      );
    }
    await context.world.pause(pauseMs);
    afterMs += pauseMs;
    now = await look(adoption, now, afterMs);
  }
}

function report(
  { context, node, machine }: Adoption,
  view: NameView,
  outcome: 'already' | 'would-adopt' | 'adopted',
): number {
  const verdict = judgeAdoption(watched(undefined, { view, at: 0 }, machine), machine);
  const lives = outcome === 'would-adopt' && verdict.kind === 'may-live' && view.alive !== undefined;
  context.print({ name: node, adoptedBy: machine, outcome, former: nameJson(view) }, () => {
    const name = `node name '${printable(node)}'`;
    switch (outcome) {
      case 'already':
        return `${name} belongs to machine ${machine}: nothing to do\n`;
      case 'would-adopt':
        return [
          ...nameText(view, context.world.now()).map((line) => `${line}\n`),
          lives
            ? `${name} would not be given to machine ${machine} while that lives\n`
            : `${name} would be given to machine ${machine} if nothing happens under it for ${formatDuration(SILENT_AFTER_MS)}\n`,
        ].join('');
      case 'adopted':
        return `${name} is given to machine ${machine}: its next call or reconcile takes it over\n`;
    }
  });
  return lives ? 2 : 0;
}
