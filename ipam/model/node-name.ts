/**
 * Names of nodes. The kubelet lower-cases its host name (`nodeutil.GetHostname`), so Kubernetes has
 * no capitals. A host name may lack the domain that the node's name in the cluster has, or have one
 * that it lacks.
 */

/** Returns the name as the API server would spell it. */
export const canonicalNodeName = (name: string): string => name.toLowerCase();

export const isSameNodeName = (a: string, b: string): boolean =>
  canonicalNodeName(a) === canonicalNodeName(b);

/**
 * Returns whether two names may belong to one machine: they are the same, or one is the other with
 * a domain (`node-1` and `node-1.example.com`).
 */
export function mayBeSameNode(a: string, b: string): boolean {
  const [one, other] = [canonicalNodeName(a), canonicalNodeName(b)];
  return one === other || one.startsWith(`${other}.`) || other.startsWith(`${one}.`);
}

/** Yields `a.b` and `a` for `a.b.c`. */
function* withoutDomain(name: string): Iterable<string> {
  for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1))
    yield name.slice(0, dot);
}

/** Finds names of nodes among many, each in the time that its own labels take. */
export class NodeDirectory {
  /** Names as they were given, by canonical name. */
  readonly #names = new Map<string, string>();
  /** Names as they were given, by each canonical name that lacks a part of their domain. */
  readonly #shortened = new Map<string, string>();

  constructor(names: Iterable<string>) {
    for (const name of names) {
      const canonical = canonicalNodeName(name);
      this.#names.set(canonical, name);
      for (const short of withoutDomain(canonical)) this.#shortened.set(short, name);
    }
  }

  get size(): number {
    return this.#names.size;
  }

  /** Returns the name that is the same; undefined if there is none. */
  same(name: string): string | undefined {
    return this.#names.get(canonicalNodeName(name));
  }

  /** Returns the name that is the same, else one that may belong to the same machine. */
  find(name: string): string | undefined {
    const canonical = canonicalNodeName(name);
    const same = this.#names.get(canonical) ?? this.#shortened.get(canonical);
    if (same !== undefined) return same;
    for (const short of withoutDomain(canonical)) {
      const found = this.#names.get(short);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
