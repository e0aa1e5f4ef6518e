import * as v from 'valibot';
import { CommandError } from '../context/errors.ts';

const path = v.pipe(v.string(), v.startsWith('/'));

/** What the operator chose by options. A later `node install` without them repeats it. */
export const choicesSchema = v.looseObject({
  binDir: v.optional(path),
  conf: v.optional(path),
  programDir: v.optional(v.union([path, v.literal(false)])),
  systemd: v.optional(v.boolean()),
  network: v.optional(v.string()),
  bridge: v.optional(v.string()),
  cniVersion: v.optional(v.string()),
  /** The file whose content became the network file. It need not exist any more. */
  listFrom: v.optional(v.string()),
});

export type Choices = Readonly<v.InferOutput<typeof choicesSchema>>;

/**
 * Returns the choices with the given ones in the place of earlier ones. A list from a file and the
 * options that a list is made of exclude each other.
 * @throws CommandError when both are given, or when a given option would replace the whole list
 */
export function mergeChoices(remembered: Choices, given: Choices): Choices {
  const parts = [
    ['--network', given.network],
    ['--bridge', given.bridge],
    ['--cni-version', given.cniVersion],
  ] as const;
  const named = parts.filter(([, value]) => value !== undefined).map(([name]) => name);
  if (given.listFrom !== undefined && named.length > 0)
    throw new CommandError(
      `${named.join(' and ')} beside --conf-from: the list that --conf-from names says it already`,
      'Leave out the one or the other.',
    );
  if (remembered.listFrom !== undefined && named.length > 0 && given.network === undefined)
    throw new CommandError(
      `${named.join(' and ')}: the network of this node is a list from ${remembered.listFrom}`,
      'Change that list and name it by --conf-from; or name --network too, for a list that is made.',
    );
  const { network: _n, bridge: _b, cniVersion: _c, listFrom: _l, ...others } = remembered;
  if (given.listFrom !== undefined) return { ...others, ...given };
  if (remembered.listFrom !== undefined && given.network !== undefined) return { ...others, ...given };
  return { ...remembered, ...given };
}
