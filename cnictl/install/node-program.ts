import { join } from 'node:path';
import { CommandError } from '../context/errors.ts';
import type { World } from '../context/world.ts';

/** The oldest major version that the programs run on. */
export const OLDEST_NODE = 20;

/**
 * The PATH that systemd gives a service (systemd.exec(5)): the agent's, and that of the runtime,
 * which executes the plugin. A shell's PATH, such as that of nvm, counts for neither.
 */
const SERVICE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Environment of the agent's unit. */
const AGENT_ENVIRONMENT = '/etc/default/cellnetd';

/**
 * When the makers of Node end their support of a major version:
 * https://github.com/nodejs/release#release-schedule. Unknown ones count as supported.
 */
const SUPPORT_ENDS: Readonly<Record<number, string>> = {
  20: '2026-04-30',
  21: '2024-06-01',
  22: '2027-04-30',
  23: '2025-06-01',
  24: '2028-04-30',
  25: '2026-06-01',
  26: '2029-04-30',
};

/** The Node that a PATH leads to. */
export interface NodeProgram {
  readonly path: string;
  /** Such as `20.20.2`. Undefined when it cannot be run. */
  readonly version: string | undefined;
}

type Host = Pick<World, 'files' | 'exec'>;

/** Returns the variables of the agent's unit that an operator set in its environment file. */
export function agentEnvironment(files: Pick<World['files'], 'read'>): Readonly<Record<string, string>> {
  const lines = (files.read(AGENT_ENVIRONMENT) ?? '').split('\n');
  const pairs = lines.flatMap((line) => {
    const [, name = '', value = ''] = /^\s*([A-Za-z_]\w*)=(.*?)\s*$/.exec(line) ?? [];
    return name === '' ? [] : [[name, value.replace(/^(["'])(.*)\1$/, '$2')] as const];
  });
  return Object.fromEntries(pairs);
}

async function findNode(path: string, { files, exec }: Host): Promise<NodeProgram | undefined> {
  const found = path
    .split(':')
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, 'node'))
    .find((file) => files.kind(file) !== undefined);
  if (found === undefined) return undefined;
  const { status, output } = await exec([found, '--version']);
  return { path: found, version: status === 0 ? /^v(\d+\.\S+)/.exec(output.trim())?.[1] : undefined };
}

/** Says what is wrong with a Node for the programs; undefined when they run on it. */
function faultOf(node: NodeProgram | undefined, path: string): string | undefined {
  if (!node) return `there is no Node in ${path}, the PATH of services`;
  if (node.version === undefined) return `${node.path} cannot be run`;
  if (majorOf(node.version) >= OLDEST_NODE) return undefined;
  return `${node.path} is Node ${node.version}: expected ${OLDEST_NODE} or later`;
}

const majorOf = (version: string): number => Number(version.split('.')[0]);

export const NODE_REMEDY = `Install Node ${OLDEST_NODE} or later there, or link yours: ln -s "$(command -v node)" /usr/local/bin/node`;

/**
 * Returns what is wrong with the Node of plugin and agent on this node, and the Node of the plugin.
 * The environment file of the agent's unit may set another PATH for the agent alone.
 */
export async function lookAtNode(host: Host): Promise<{
  readonly node: NodeProgram | undefined;
  readonly agentFault: string | undefined;
  readonly pluginFault: string | undefined;
}> {
  const node = await findNode(SERVICE_PATH, host);
  const pluginFault = faultOf(node, SERVICE_PATH);
  const { PATH: agentPath } = agentEnvironment(host.files);
  if (!agentPath) return { node, agentFault: pluginFault, pluginFault };
  return { node, agentFault: faultOf(await findNode(agentPath, host), agentPath), pluginFault };
}

/**
 * Refuses a node on which nothing of cellnet would start.
 * @param hasAgent whether systemd is to start the agent. Then the launcher hands calls to it.
 * @returns what the operator should know
 * @throws CommandError
 */
export async function checkNode(host: Host & Pick<World, 'now'>, hasAgent: boolean): Promise<string[]> {
  const { node, agentFault, pluginFault } = await lookAtNode(host);
  const fault = hasAgent ? agentFault : pluginFault;
  if (fault !== undefined)
    throw new CommandError(`${fault}: neither agent nor plugin would start`, NODE_REMEDY);
  if (pluginFault !== undefined)
    return [`${pluginFault}: calls that come while the agent is restarted fail. ${NODE_REMEDY}`];
  const ended = supportEnd(node?.version, host.now());
  if (!node || ended === undefined) return [];
  return [
    `${node.path} is Node ${node.version ?? ''}, which its makers have not maintained since ${ended}, and the agent runs on it as root: unless your distribution still mends it, install a later one`,
  ];
}

/** Returns the day on which the support of a version ended, if it has. */
export function supportEnd(version: string | undefined, now: number): string | undefined {
  const end = version === undefined ? undefined : SUPPORT_ENDS[majorOf(version)];
  return end !== undefined && Date.parse(end) < now ? end : undefined;
}
