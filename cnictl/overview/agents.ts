import { reportOf, type NodeOverview } from './nodes.ts';
import { countVersions, type VersionCount } from './versions.ts';

/** The agents of a cluster in figures. */
export interface AgentFigures {
  /** Nodes with a sign of an agent within the last minute. */
  readonly alive: number;
  /** Of these, agents that say that they are well. */
  readonly healthy: number;
  /** Of these, agents that say that they are not. */
  readonly unhealthy: number;
  /** Of these, agents that do not say: of releases before 0.2.0. */
  readonly untold: number;
  /** Nodes with a record of theirs and no sign of an agent. */
  readonly silent: number;
  readonly versions: readonly VersionCount[];
}

export function agentFigures(nodes: readonly NodeOverview[]): AgentFigures {
  const alive = nodes.filter(({ view }) => view?.alive !== undefined);
  const count = (healthy: boolean | undefined): number =>
    alive.filter(({ view }) => reportOf(view)?.healthy === healthy).length;
  return {
    alive: alive.length,
    healthy: count(true),
    unhealthy: count(false),
    untold: count(undefined),
    silent: nodes.length - alive.length,
    versions: countVersions(alive.map(({ name, view }) => ({ name, version: reportOf(view)?.version }))),
  };
}

const NAMED = 3;

/** `0.2.0 on 10, 0.1.0 on 1 (node-3)`: the nodes of all but the most frequent version. */
export function versionsText(versions: readonly VersionCount[]): string {
  const most = versions.reduce((n, { agents }) => Math.max(n, agents), 0);
  return versions
    .map(({ version, agents, nodes }) => {
      const named = nodes.slice(0, NAMED).join(', ');
      const more = nodes.length > NAMED ? ` and ${nodes.length - NAMED} more` : '';
      const which = agents === most ? '' : ` (${named}${more})`;
      return `${version ?? 'not told'} on ${agents}${which}`;
    })
    .join(', ');
}
