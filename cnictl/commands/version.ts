import { messageOf } from '../../ipam/model/errors.ts';
import { listNames, type NameView } from '../../ipam/node/name-records.ts';
import { DEFAULT_AGENT } from '../../ipam/settings/settings.ts';
import { VERSION } from '../../ipam/settings/version.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Context } from '../context/context.ts';
import { describeError } from '../context/errors.ts';
import { installedVersion, type Installed } from '../install/installed.ts';
import { versionsText } from '../overview/agents.ts';
import { differencesOf } from '../overview/differences.ts';
import { askEndpoints, etcdVersions } from '../overview/etcd.ts';
import { countVersions, type VersionCount } from '../overview/versions.ts';
import type { Cell } from '../render/cell.ts';
import { printable } from '../render/printable.ts';
import { renderFields } from '../render/table.ts';

export interface VersionOptions {
  /** Only this program: nothing else is asked. */
  readonly client?: boolean;
}

/**
 * `version`: this program, the agent and the plugin of this node, all agents, etcd, and what does
 * not fit together. Exit status 2 when etcd does not answer.
 */
export async function version(context: Context, { client = false }: VersionOptions): Promise<number> {
  const own = { version: VERSION, nodejs: process.version };
  if (client) {
    context.print({ client: own }, () => `${VERSION}\n`);
    return 0;
  }
  const [agent, cluster] = await Promise.all([askOwnAgent(context), askCluster(context)]);
  const installed = installedVersion(context.world.files);
  const differences = differencesOf({
    ...{ client: VERSION, agent: agent.version, plugin: installed?.version ?? undefined },
    ...{ agents: cluster.agents, plugins: cluster.plugins, etcd: cluster.etcd },
  });
  const data = {
    client: own,
    agent: { socket: agent.socket, version: agent.version ?? null, problem: agent.problem },
    plugin: installed ?? null,
    agents: cluster.agents,
    etcd: { versions: cluster.etcd, problem: cluster.problem },
    differences,
  };
  context.print(data, () => {
    const { paint } = context;
    const fields: [string, Cell][] = [
      ['Client', `${VERSION} (Node.js ${process.version})`],
      ['Agent', agentText(agent)],
      ['Plugin', pluginText(installed)],
      ['Agents', cluster.agents.length > 0 ? versionsText(cluster.agents) : 'none is known to be alive'],
      ['etcd', cluster.etcd.join(', ') || 'told to root only'],
    ];
    const known = cluster.problem === null ? fields : fields.slice(0, 3);
    const lines = differences.map((text) => `  ${paint.yellow(printable(text))}\n`);
    const told = lines.length > 0 ? `\n${paint.bold('Differences:')}\n${lines.join('')}` : '';
    return `${renderFields(known, paint)}${told}`;
  });
  if (cluster.problem === null) return 0;
  context.world.stderr(cluster.problem);
  return 2;
}

interface OwnAgent {
  /** Null where the settings name none. */
  readonly socket: string | null;
  readonly version: string | undefined;
  readonly problem: string | null;
}

async function askOwnAgent({ world, settings }: Context): Promise<OwnAgent> {
  const socket = settings.agent ?? DEFAULT_AGENT;
  if (socket === false) return { socket: null, version: undefined, problem: 'the settings name none' };
  try {
    const { answers, health } = await world.probeAgent(socket);
    const problem = !answers ? 'none answers' : health ? null : 'it does not tell its version';
    return { socket, version: answers ? health?.version : undefined, problem };
  } catch (error) {
    return { socket, version: undefined, problem: messageOf(error) };
  }
}

const agentText = ({ socket, version, problem }: OwnAgent): Cell =>
  [version, problem, socket === null ? undefined : `at ${socket}`].filter((each) => each).join(' ');

const pluginText = (installed: Installed | undefined): string =>
  installed ? `${installed.version ?? 'not known'} (${installed.folder})` : 'none is installed here';

interface InCluster {
  readonly agents: readonly VersionCount[];
  readonly plugins: readonly { readonly name: string; readonly plugin: string; readonly agent: string }[];
  readonly etcd: readonly string[];
  /** The error as the operator reads it. */
  readonly problem: string | null;
}

async function askCluster(context: Context): Promise<InCluster> {
  try {
    const names = await context.withIpam(({ store }) => listNames(store));
    const endpoints = await askEndpoints(context, etcdSettings(context.settings.etcd).endpoints);
    const living = [...names.values()].filter(({ alive }) => alive !== undefined);
    const agents = living.map(({ node, alive }) => ({ name: node, version: alive?.record.agent?.version }));
    return {
      agents: countVersions(agents),
      plugins: living.flatMap(pluginOf),
      etcd: etcdVersions({ endpoints }),
      problem: null,
    };
  } catch (error) {
    return { agents: [], plugins: [], etcd: [], problem: describeError(error) };
  }
}

function pluginOf({ node, alive }: NameView): InCluster['plugins'] {
  const { plugin, version } = alive?.record.agent ?? {};
  if (plugin === undefined || version === undefined || plugin === version) return [];
  return [{ name: node, plugin, agent: version }];
}
