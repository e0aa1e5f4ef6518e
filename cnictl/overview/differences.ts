import { compareVersions } from '../../ipam/settings/version-order.ts';
import { versionsText } from './agents.ts';
import { newestOf, type VersionCount } from './versions.ts';

/** The versions that one command can see. Undefined: not known. */
export interface SeenVersions {
  readonly client: string;
  /** Of the agent of this node. */
  readonly agent: string | undefined;
  /** Of the plugin that is installed on this node. */
  readonly plugin: string | undefined;
  /** Of all agents that live. */
  readonly agents: readonly VersionCount[];
  /** Plugins that called agents of another version, by node. */
  readonly plugins: readonly { readonly name: string; readonly plugin: string; readonly agent: string }[];
  readonly etcd: readonly string[];
}

const NAMED = 5;

/** Returns what does not fit together, a sentence each. Empty: all is of one version. */
export function differencesOf(seen: SeenVersions): string[] {
  const { client, agent, plugin, agents, plugins, etcd } = seen;
  const newest = newestOf(agents.map(({ version }) => version));
  return [
    ...differ('the agent of this node', agent, 'this cnictl', client),
    ...differ('the plugin installed on this node', plugin, 'its agent', agent),
    ...(agents.length > 1 ? [`the agents have several versions: ${versionsText(agents)}`] : []),
    ...(newest !== undefined && (compareVersions(client, newest) ?? 0) < 0
      ? [`this cnictl (${client}) is older than agents (${newest}): it may not read all of their records`]
      : []),
    ...pluginsText(plugins),
    ...(etcd.length > 1 ? [`the members of etcd have several versions: ${etcd.join(', ')}`] : []),
  ];
}

function differ(
  what: string,
  version: string | undefined,
  other: string,
  otherVersion: string | undefined,
): string[] {
  if (version === undefined || otherVersion === undefined || version === otherVersion) return [];
  return [`${what} is ${version}, ${other} ${otherVersion}`];
}

function pluginsText(plugins: SeenVersions['plugins']): string[] {
  if (plugins.length === 0) return [];
  const named = plugins
    .slice(0, NAMED)
    .map(({ name, plugin, agent }) => `${name} (plugin ${plugin}, agent ${agent})`);
  const more = plugins.length > NAMED ? ` and ${plugins.length - NAMED} more` : '';
  return [`plugin and agent differ on ${named.join(', ')}${more}`];
}
