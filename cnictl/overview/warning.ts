import type { Level } from '../doctor/finding.ts';

/** What may be amiss with a node, the most urgent first. */
export const NODE_WARNINGS = {
  'cannot-read': {
    level: 'fail',
    what: 'agents that cannot read records of this cluster, or do not tell',
    remedy: 'Upgrade them: their nodes refuse such ranges, blocks and rules (docs/operations/upgrade.md).',
  },
  unreadable: {
    level: 'fail',
    what: 'records of machines or agents that cannot be read',
    remedy: 'docs/operations/bad-record.md says how to mend a record.',
  },
  unhealthy: {
    level: 'fail',
    what: 'agents that are not well',
    remedy: 'cnictl doctor on the node tells what to do.',
  },
  silent: {
    level: 'warn',
    what: 'nodes without a sign of their agent',
    remedy: 'Look at it: systemctl status cellnetd, or kubectl get pods -l app.kubernetes.io/name=cellnet.',
  },
  'other-machine': {
    level: 'warn',
    what: 'agents on another machine than the one that wrote last under the name',
    remedy: 'docs/operations/node-name.md says what to do.',
  },
  gone: {
    level: 'warn',
    what: 'nodes that the API server does not have',
    remedy: 'Gone for good: cnictl node remove NAME.',
  },
  'not-ready': {
    level: 'warn',
    what: 'nodes that the API server calls not Ready',
    remedy: 'kubectl describe node NAME tells why.',
  },
  pending: {
    level: 'warn',
    what: 'nodes with teardowns that are put off',
    remedy: 'They end when etcd and Open vSwitch answer; cnictl doctor on the node tells what does not.',
  },
  condemned: {
    level: 'warn',
    what: 'nodes that have yet to clear condemned addresses away',
    remedy:
      'Their agents do it within minutes. Silent ones: cnictl check --release (docs/operations/leaks.md).',
  },
  draining: {
    level: 'warn',
    what: 'nodes that have been draining for more than a day',
    remedy: 'cnictl node undrain NAME, or remove the node.',
  },
  older: {
    level: 'warn',
    what: 'agents of an older version than others',
    remedy: 'Upgrade them: docs/operations/upgrade.md.',
  },
  plugin: {
    level: 'warn',
    what: 'nodes whose plugin has another version than their agent',
    remedy: 'Restart the agent, or install both of one version: docs/operations/upgrade.md.',
  },
} as const satisfies Record<string, { level: Exclude<Level, 'ok'>; what: string; remedy: string }>;

export type NodeWarningKind = keyof typeof NODE_WARNINGS;

/** Something amiss with one node. */
export interface NodeWarning {
  readonly kind: NodeWarningKind;
  /** A few words about this very node. */
  readonly detail: string;
}

/** A line of `status`. */
export interface Warning {
  readonly level: Exclude<Level, 'ok'>;
  /** What is amiss, in a word that scripts may rely on. */
  readonly kind: string;
  readonly text: string;
  readonly remedy: string;
  /** The nodes that it is about, all of them. Absent for the cluster. */
  readonly nodes?: readonly string[];
}

const RANKS = Object.keys(NODE_WARNINGS);
const NAMED = 5;

/** Sorts warnings of a node, the most urgent first. */
export const byUrgency = (a: NodeWarning, b: NodeWarning): number =>
  RANKS.indexOf(a.kind) - RANKS.indexOf(b.kind);

/** Returns one line for each kind, however many nodes have it: the first five are named. */
export function groupWarnings(
  nodes: readonly { readonly name: string; readonly warnings: readonly NodeWarning[] }[],
): Warning[] {
  return RANKS.flatMap((rank): Warning[] => {
    const kind = rank as NodeWarningKind;
    const having = nodes.flatMap(({ name, warnings }) =>
      warnings.filter((warning) => warning.kind === kind).map(({ detail }) => ({ name, detail })),
    );
    if (having.length === 0) return [];
    const { level, what, remedy } = NODE_WARNINGS[kind];
    const named = having.slice(0, NAMED).map(({ name, detail }) => `${name} (${detail})`);
    const more = having.length > NAMED ? ` and ${having.length - NAMED} more` : '';
    const text = `${what}: ${named.join(', ')}${more}`;
    return [{ level, kind, text, remedy, nodes: having.map(({ name }) => name) }];
  });
}

/** Failures first, each in the order in which they are given. */
export const sortWarnings = (warnings: readonly Warning[]): Warning[] => [
  ...warnings.filter(({ level }) => level === 'fail'),
  ...warnings.filter(({ level }) => level === 'warn'),
];
