import {
  DEFAULT_AGENT,
  DEFAULT_BRIDGE,
  DEFAULT_OVSDB,
  DEFAULT_STATE_DIR,
} from '../../ipam/settings/settings.ts';
import { VERSION } from '../../ipam/settings/version.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { readRanges } from '../../ipam/store/ranges.ts';
import type { Context } from '../context/context.ts';
import { makeBundle } from '../doctor/bundle.ts';
import { etcdChecks } from '../doctor/etcd.ts';
import { failed, ok, runChecks, type Check, type Finding, type Level } from '../doctor/finding.ts';
import { kubeChecks } from '../doctor/kube.ts';
import { machineCheck } from '../doctor/machine.ts';
import { fileChecks, judgeAgent, nodeProgramCheck, type NodePaths } from '../doctor/node.ts';
import { ovsChecks } from '../doctor/ovs.ts';
import { recordChecks } from '../doctor/records.ts';
import { Tree } from '../install/layout.ts';
import { foldersInUse } from '../install/remembered.ts';
import { DEFAULT_FOLDERS, type RuntimeFolders } from '../install/runtimes.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { renderTable } from '../render/table.ts';

export interface DoctorOptions {
  readonly cluster?: boolean;
  readonly confDir?: string;
  readonly binDir?: string;
  readonly bundle?: string;
}

/**
 * Longer than every single wait of a check, so that the check's own error names what it waited for.
 */
const DEADLINE_MS = 20_000;
/** What a check of the API server does beside its one request, in milliseconds. */
const BESIDE_MS = 10_000;

/**
 * `doctor`: examines the cluster and this node, and changes nothing. Exit status 1 after any
 * warning or failure.
 */
export async function doctor(context: Context, options: DoctorOptions): Promise<number> {
  if (options.bundle !== undefined) context.world.checkTarget(options.bundle);
  const stateDir = context.world.env['CELLNET_STATE_DIR'] || DEFAULT_STATE_DIR;
  const deadlineMs = Math.max(DEADLINE_MS, context.requestTimeoutMs + BESIDE_MS);
  const folders = lookForFolders(context, options);
  const paths: NodePaths = { ...folders.paths, stateDir };
  const checked = await runChecks(checksOf(context, options, paths), deadlineMs);
  const findings = [...checked, ...folders.trouble];
  if (options.bundle !== undefined)
    context.world.writeFile(options.bundle, await makeBundle(context, findings, paths));
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  const counts = { ok: count('ok'), warn: count('warn'), fail: count('fail') };
  context.print(
    {
      version: VERSION,
      node: options.cluster ? null : nodeOf(context),
      counts,
      findings,
      bundle: options.bundle ?? null,
    },
    () => render(context, findings, counts, options.bundle),
  );
  return counts.warn + counts.fail > 0 ? 1 : 0;
}

/**
 * Returns the runtime's folders by the options, else as `node install` knows or finds them. Where
 * neither can tell, the usual ones and a line that says why.
 */
function lookForFolders(
  { world }: Context,
  { confDir, binDir, cluster }: DoctorOptions,
): { readonly paths: RuntimeFolders; readonly trouble: readonly Finding[] } {
  const given = { ...(confDir !== undefined && { confDir }), ...(binDir !== undefined && { binDir }) };
  const isKnown = cluster === true || (confDir !== undefined && binDir !== undefined);
  if (isKnown) return { paths: { ...DEFAULT_FOLDERS, ...given }, trouble: [] };
  try {
    return { paths: { ...foldersInUse(new Tree('/', world.files), world.files), ...given }, trouble: [] };
  } catch (error) {
    return { paths: { ...DEFAULT_FOLDERS, ...given }, trouble: [failed("runtime's folders", error)] };
  }
}

const nodeOf = ({ settings, world }: Context): string => settings.node ?? world.hostname;

function checksOf(context: Context, options: DoctorOptions, paths: NodePaths): Check[] {
  const { settings, world } = context;
  const node = options.cluster ? undefined : nodeOf(context);
  const cluster = [
    configurationCheck(context),
    ...etcdChecks(etcdSettings(settings.etcd), world.openEtcd),
    ...recordChecks((work) => context.withIpam(work), node),
    ...kubeChecks(context, node),
  ];
  if (node === undefined) return cluster;
  const open = (): ReturnType<typeof world.openOvsdb> =>
    world.openOvsdb(settings.ovsdb ?? DEFAULT_OVSDB, settings.ovsdbTls ?? {});
  const socket = settings.agent ?? DEFAULT_AGENT;
  const asked = socket === false ? undefined : socket;
  return [
    ...cluster,
    machineCheck((work) => context.withIpam(work), node, world.machine),
    ...ovsChecks(open, settings.bridge ?? DEFAULT_BRIDGE, () => vlansOf(context)),
    {
      name: 'agent',
      look: async () => {
        const answer = asked === undefined ? undefined : await world.probeAgent(asked);
        return [judgeAgent(socket, answer ?? { answers: false, health: undefined }, VERSION)];
      },
    },
    nodeProgramCheck(world),
    ...fileChecks(world.files, paths),
  ];
}

/** Always ok: cnictl read the configuration when it created the context. */
function configurationCheck({ configFile, world }: Context): Check {
  const there = world.readFile(configFile) !== undefined;
  const line = ok(
    'configuration',
    there ? configFile : `${configFile} does not exist: flags, environment and defaults count`,
  );
  return { name: 'configuration', look: () => Promise.resolve([line]) };
}

async function vlansOf(context: Context): Promise<number[]> {
  const { ranges } = await context.withIpam(({ store }) => readRanges(store));
  const vlans = ranges.flatMap(({ range }) => (range.vlan === undefined ? [] : [range.vlan]));
  return [...new Set(vlans)].sort((a, b) => a - b);
}

function render(
  context: Context,
  findings: readonly Finding[],
  counts: Readonly<Record<Level, number>>,
  bundle: string | undefined,
): string {
  const { paint } = context;
  const colour = { ok: paint.green, warn: paint.yellow, fail: paint.red };
  const lines = findings.flatMap(({ check, level, detail, remedy }) => [
    { level: colour[level](level), check, detail: printable(detail) },
    ...(remedy === '' ? [] : [{ level: '', check: '', detail: paint.dim(`→ ${printable(remedy)}`) }]),
  ]);
  const table = renderTable<(typeof lines)[number]>(
    [
      { title: 'LEVEL', value: ({ level }) => level },
      { title: 'CHECK', value: ({ check }) => check },
      { title: 'DETAIL', value: ({ detail }) => detail },
    ],
    lines,
    paint,
  );
  const saved = bundle === undefined ? '' : `support archive without secrets: ${bundle}\n`;
  return `${table}${counts.ok} ok, ${plural(counts.warn, 'warning')}, ${counts.fail} failed\n${saved}`;
}
