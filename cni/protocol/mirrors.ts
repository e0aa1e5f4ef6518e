/**
 * How a port takes part in a mirror. `ingress`: what it sends, which comes into the bridge, is
 * copied; `egress`: what it receives is. `output`: it gets the mirror's copies, and nothing else.
 */
export type MirrorRole = 'ingress' | 'egress' | 'output';

/** In the order of every list of roles. */
export const MIRROR_ROLES: readonly MirrorRole[] = ['ingress', 'egress', 'output'];

/** A port's part in one mirror of its bridge. */
export interface PortMirror {
  readonly name: string;
  readonly roles: readonly MirrorRole[];
}

interface MirrorEntry {
  readonly name: string;
  readonly ingress?: boolean | undefined;
  readonly egress?: boolean | undefined;
  readonly output?: boolean | undefined;
}

/** Returns the configured mirrors by name, each with its roles. */
export const mirrorsOf = (entries: readonly MirrorEntry[]): PortMirror[] =>
  entries.map((entry) => ({ name: entry.name, roles: rolesOf((role) => entry[role] === true) })).sort(byName);

export const rolesOf = (has: (role: MirrorRole) => boolean): MirrorRole[] => MIRROR_ROLES.filter(has);

export const byName = (a: PortMirror, b: PortMirror): number => (a.name < b.name ? -1 : 1);

/** Returns text such as `ids (ingress, egress), web (ingress)`, the same for equal mirrors. */
export const mirrorText = (mirrors: readonly PortMirror[]): string =>
  mirrors.map(({ name, roles }) => `${name} (${roles.join(', ')})`).join(', ') || 'none';

/** Returns whether the port has every role that is wanted, be it with others. */
export const takesPart = (found: readonly PortMirror[], wanted: readonly PortMirror[]): boolean =>
  wanted.every(({ name, roles }) => {
    const there = found.find((each) => each.name === name);
    return roles.every((role) => there?.roles.includes(role));
  });
