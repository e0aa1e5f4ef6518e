import { parseAddress, type Address } from '../../ipam/model/address.ts';
import { isOfNode } from '../../ipam/model/block.ts';
import { didYouMean } from '../../ipam/model/nearest.ts';
import { ruleOf } from '../../ipam/model/holder.ts';
import { addressAt } from '../../ipam/map/map.ts';
import type { MapSource } from '../../ipam/map/source.ts';
import { CommandError } from '../context/errors.ts';
import type { View } from './model.ts';
import { placesOf } from './places.ts';

/** Which part of the map is asked for. */
export interface MapFilter {
  readonly range?: string;
  /** Holds the blocks, or has addresses of them. */
  readonly node?: string;
}

/** Returns the map as far as it is asked for. */
export function narrowed(source: MapSource, { range, node }: MapFilter): MapSource {
  const ranges = source.ranges.filter(({ name }) => range === undefined || name === range);
  if (node === undefined) return { ...source, ranges };
  return {
    ...source,
    ranges,
    blocksOf: (name) => source.blocksOf(name).filter((block) => isOfNode(block, node)),
    unreadableOf: () => [],
  };
}

/** @throws CommandError for a range or a node that nothing knows */
export function checkFilter(source: MapSource, nodes: ReadonlySet<string>, { range, node }: MapFilter): void {
  const names = source.ranges.map(({ name }) => name);
  if (range !== undefined && !names.includes(range))
    throw new CommandError(
      `--range '${range}': there is no range of that name`,
      `${didYouMean(range, names)}List them: cnictl range list`,
    );
  if (node === undefined || nodes.has(node)) return;
  const isKnown = names.some((name) => source.blocksOf(name).some((block) => isOfNode(block, node)));
  if (!isKnown)
    throw new CommandError(
      `--node '${node}': nothing is known of a node of that name`,
      `${didYouMean(node, [...nodes, ...holdersOf(source)])}List them: cnictl node list`,
    );
}

const holdersOf = (source: MapSource): string[] =>
  source.ranges.flatMap(({ name }) =>
    source.blocksOf(name).flatMap((block) => (ruleOf(block) === undefined ? [block.node] : [])),
  );

/** A part of the map that was named. */
export type Where =
  | { readonly kind: 'range'; readonly range: string }
  /** One or several, as the addresses of a pod. */
  | { readonly kind: 'addresses'; readonly addresses: readonly [Address, ...Address[]] }
  /** Blocks of a holder, in one or several ranges: the first address of each. */
  | { readonly kind: 'blocks'; readonly range: string; readonly first: Address; readonly node?: string };

/**
 * Returns where something is: a range, an address, a subnet, a pod, a node, a rule, a namespace.
 * @throws CommandError if nothing of that name is there
 */
export function whereOf(source: MapSource, text: string, now: number): Where {
  if (source.ranges.some(({ name }) => name === text)) return { kind: 'range', range: text };
  const address = addressOf(text);
  if (address) {
    if (addressAt(source, address, now)) return { kind: 'addresses', addresses: [address] };
    throw new CommandError(`no range contains ${text}`, 'List them: cnictl range list');
  }
  const [first, ...others] = placesOf(source, text, now);
  if (!first) throw nothingOf(source, text);
  const { address: at, range, what } = first;
  if (!at) return { kind: 'range', range };
  const same = others.filter((place) => place.what === what).flatMap((place) => place.address ?? []);
  if (what.startsWith('pod ')) return { kind: 'addresses', addresses: [at, ...same] };
  const [, node] = /^node (.*)$/s.exec(what) ?? [];
  return { kind: 'blocks', range, first: at, ...(node !== undefined && { node }) };
}

function nothingOf(source: MapSource, text: string): CommandError {
  const names = [...source.ranges.map(({ name }) => name), ...holdersOf(source)];
  return new CommandError(
    `'${text}': expected a range, an address, a subnet, a pod (NAMESPACE/NAME), a node, a rule or a namespace, and nothing of the map is called so`,
    `${didYouMean(text, names)}List the ranges: cnictl range list`,
  );
}

function addressOf(text: string): Address | undefined {
  try {
    return parseAddress(text);
  } catch {
    return undefined;
  }
}

/** Returns the views that show it, from the overview on. */
export function viewsOf(source: MapSource, where: Where, now: number): View[] {
  if (where.kind === 'range') return [{ kind: 'range', range: where.range, unfolded: false }];
  if (where.kind === 'blocks')
    return [{ kind: 'range', range: where.range, at: where.first, unfolded: false }];
  const [address] = where.addresses;
  const range = addressAt(source, address, now)?.range.name ?? '';
  return [
    { kind: 'range', range, at: address, unfolded: false },
    { kind: 'address', address, past: false },
  ];
}
