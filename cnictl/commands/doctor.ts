import type { HostNetwork } from '../../cni/netlink/host-network.ts';
import { ownPlaceOf } from '../../cni/reconcile/settings.ts';
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
import { quietLog } from '../context/quiet-log.ts';
import { makeBundle } from '../doctor/bundle.ts';
import { mergeCauses } from '../doctor/causes.ts';
import { etcdChecks } from '../doctor/etcd.ts';
import { failed, ok, runChecks, type Check, type Finding, type Level } from '../doctor/finding.ts';
import { kubeChecks } from '../doctor/kube.ts';
import { machineCheck } from '../doctor/machine.ts';
import { judgeMasquerade } from '../doctor/masquerade.ts';
import {
  BY_KUBERNETES,
  BY_SYSTEMD,
  fileChecks,
  judgeAgent,
  judgeMetricsPort,
  nodeProgramCheck,
  type NodePaths,
} from '../doctor/node.ts';
import { ovsChecks } from '../doctor/ovs.ts';
import { portCheck } from '../doctor/ports.ts';
import { recordChecks } from '../doctor/records.ts';
import { servicesCheck } from '../doctor/services.ts';
import { uplinkAddressesCheck } from '../doctor/uplink-addresses.ts';
import { Tree } from '../install/layout.ts';
import { foldersInUse } from '../install/remembered.ts';
import { DEFAULT_FOLDERS, type RuntimeFolders } from '../install/runtimes.ts';
import { painted } from '../render/cell.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { renderTable } from '../render/table.ts';

export interface DoctorOptions {
  readonly cluster?: boolean;
  readonly confDir?: string;
  readonly binDir?: string;
  readonly bundle?: string;
  /** The lowest level that makes the exit status 1. */
  readonly failOn: 'warn' | 'fail';
}

/**
 * Longer than every single wait of a check, so that the check's own error names what it waited for.
 */
const DEADLINE_MS = 20_000;
/** What a check of the API server does beside its one request, in milliseconds. */
const BESIDE_MS = 10_000;

/**
 * `doctor`: examines the cluster and this node, and changes nothing. Exit status 1 after any
 * warning or failure, or only after a failure with `--fail-on fail`.
 */
export async function doctor(context: Context, options: DoctorOptions): Promise<number> {
  if (options.bundle !== undefined) context.world.checkTarget(options.bundle);
  const { findings, paths } = await examine(context, options);
  if (options.bundle !== undefined)
    context.world.writeFile(options.bundle, await makeBundle(context, findings, paths));
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  const counts = { ok: count('ok'), warn: count('warn'), fail: count('fail') };
  context.print(
    {
      version: VERSION,
      node: options.cluster ? null : nodeOf(context),
      counts,
      findings: findings.map(findingJson),
      bundle: options.bundle ?? null,
    },
    () => render(context, findings, counts, options.bundle),
  );
  return findings.some((finding) => counted(finding, options.failOn)) ? 1 : 0;
}

/** Examines the cluster and this node. Never throws: what fails is a finding. */
export async function examine(
  context: Context,
  options: Omit<DoctorOptions, 'bundle' | 'failOn'> = {},
): Promise<{ readonly findings: readonly Finding[]; readonly paths: NodePaths }> {
  const stateDir = context.world.env['CELLNET_STATE_DIR'] || DEFAULT_STATE_DIR;
  const deadlineMs = Math.max(DEADLINE_MS, context.requestTimeoutMs + BESIDE_MS);
  const folders = lookForFolders(context, options);
  const paths: NodePaths = { ...folders.paths, stateDir, inPod: isInPod(context) };
  const checked = await runChecks(checksOf(context, options, paths), deadlineMs);
  return { findings: mergeCauses([...checked, ...folders.trouble]), paths };
}

/** The cause only groups findings: it is the error, or the server that `also` is about. */
const findingJson = ({ cause: _, ...finding }: Finding): object => finding;

/** Advice never counts: it would stand for as long as the cluster does. */
const counted = ({ level, advice }: Finding, failOn: DoctorOptions['failOn']): boolean =>
  level === 'fail' || (level === 'warn' && failOn === 'warn' && advice !== true);

/** The kubelet sets it in every container. */
const isInPod = ({ world }: Context): boolean => Boolean(world.env['KUBERNETES_SERVICE_HOST']);

/**
 * Returns the runtime's folders by the options, else as `node install` knows or finds them. Where
 * neither can tell, the usual ones and a line that says why.
 */
function lookForFolders(
  { world }: Context,
  { confDir, binDir, cluster }: Pick<DoctorOptions, 'confDir' | 'binDir' | 'cluster'>,
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

function checksOf(context: Context, options: Pick<DoctorOptions, 'cluster'>, paths: NodePaths): Check[] {
  const { settings, world } = context;
  const node = options.cluster ? undefined : nodeOf(context);
  const cluster = [
    configurationCheck(context),
    ...etcdChecks(etcdSettings(settings.etcd), world.openEtcd, node),
    ...recordChecks((work) => context.withIpam(work), node),
    ...kubeChecks(context, node),
  ];
  if (node === undefined) return cluster;
  const ovsdb = settings.ovsdb ?? DEFAULT_OVSDB;
  const open = (): ReturnType<typeof world.openOvsdb> => world.openOvsdb(ovsdb, settings.ovsdbTls ?? {});
  const bridge = settings.bridge ?? DEFAULT_BRIDGE;
  const readNetwork = async (): Promise<HostNetwork> => (await world.uplinkHost()).readNetwork();
  const socket = settings.agent ?? DEFAULT_AGENT;
  const asked = socket === false ? undefined : socket;
  return [
    ...cluster,
    machineCheck((work) => context.withIpam(work), node, world.machine),
    ...ovsChecks(open, bridge, () => vlansOf(context)),
    // The devices of an Open vSwitch elsewhere are not this host's.
    ...(ovsdb.startsWith('unix:') ? [uplinkAddressesCheck(open, bridge, readNetwork)] : []),
    portCheck(
      () => world.openPlatform(quietLog),
      () => ownPlaceOf(settings, world.env, world.hostname, true),
    ),
    {
      name: 'agent',
      look: async () => {
        const none = { answers: false, health: undefined };
        const answer = asked === undefined ? none : await world.probeAgent(asked);
        const commands = paths.inPod ? BY_KUBERNETES : BY_SYSTEMD;
        return [
          judgeAgent(socket, answer, VERSION, commands),
          ...judgeMetricsPort(answer, commands),
          ...judgeMasquerade(socket, answer, settings, commands),
        ];
      },
    },
    servicesCheck(world, settings, context.knowsKube, open),
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
  const lines = findings.flatMap(({ check, level, detail, remedy, also = [] }) => [
    { level: colour[level](level), check, detail: printable(detail) },
    ...(also.length === 0
      ? []
      : [{ level: '', check: '', detail: paint.dim(`failed with it: ${printable(also.join(', '))}`) }]),
    ...(remedy === '' ? [] : [{ level: '', check: '', detail: paint.dim(`→ ${printable(remedy)}`) }]),
  ]);
  const table = renderTable<(typeof lines)[number]>(
    [
      { title: 'LEVEL', value: ({ level }) => painted(level) },
      { title: 'CHECK', value: ({ check }) => check },
      { title: 'DETAIL', value: ({ detail }) => painted(detail) },
    ],
    lines,
    paint,
  );
  const saved = bundle === undefined ? '' : `support archive without secrets: ${bundle}\n`;
  return `${table}${counts.ok} ok, ${plural(counts.warn, 'warning')}, ${counts.fail} failed\n${saved}`;
}
