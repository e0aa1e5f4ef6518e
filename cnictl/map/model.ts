import type { Address } from '../../ipam/model/address.ts';
import type { RangeOverview } from '../../ipam/map/map.ts';
import type { MapSource } from '../../ipam/map/source.ts';
import type { Forecasts } from '../../ipam/query/forecasts.ts';
import type { Trends } from './trend.ts';

/** Where the map gets what it shows. */
export type Link =
  | { readonly kind: 'reading'; readonly records: number }
  | { readonly kind: 'live' }
  /** @property since milliseconds since 1970 */
  | { readonly kind: 'away'; readonly since: number; readonly reason: string };

/** The past owners of an address, as far as they have been read. */
export type Past =
  | { readonly kind: 'reading' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'read'; readonly lines: readonly string[] };

/** Everything that the map shows, as of one moment. */
export interface Facts {
  readonly now: number;
  readonly link: Link;
  readonly source: MapSource;
  /** Sorted by name. */
  readonly ranges: readonly RangeOverview[];
  readonly trends: Trends;
  /** Until when the ranges last; undefined until samples were read. */
  readonly forecasts?: Forecasts | undefined;
  /** Only blocks of this node are shown. */
  readonly node?: string;
  /** By the text of the address. */
  readonly past: ReadonlyMap<string, Past>;
}

export interface OverviewView {
  readonly kind: 'overview';
  /** Name of the range under the cursor. Undefined: the first. */
  readonly at?: string;
}

export interface RangeView {
  readonly kind: 'range';
  readonly range: string;
  /** The address under the cursor. Undefined: the first that is shown. */
  readonly at?: Address;
  /** Whether blocks that nobody has claimed have a row each. */
  readonly unfolded: boolean;
}

export interface AddressView {
  readonly kind: 'address';
  readonly address: Address;
  /** Whether the past owners are shown, too. */
  readonly past: boolean;
}

export type View = OverviewView | RangeView | AddressView;

/** Orders of the overview and of the blocks of a range. */
export const OVERVIEW_ORDERS = ['name', 'fill', 'full', 'address'] as const;
export const BLOCK_ORDERS = ['address', 'fill', 'holder'] as const;
export type OverviewOrder = (typeof OVERVIEW_ORDERS)[number];
export type BlockOrder = (typeof BLOCK_ORDERS)[number];

export interface Order<By> {
  readonly by: By;
  readonly reversed: boolean;
}

/** What the operator has done with the map so far. A value: every key makes a new one. */
export interface Model {
  /** The views that led here. The last is shown; Esc goes back to the one before. */
  readonly views: readonly View[];
  /** The first row that is shown, by view as in {@link views}. */
  readonly tops: readonly number[];
  readonly overviewOrder: Order<OverviewOrder>;
  readonly blockOrder: Order<BlockOrder>;
  /** What is typed behind `/`. Undefined: nothing is asked. */
  readonly prompt?: string;
  /** What was searched last, and which of the places found is shown. */
  readonly search?: { readonly text: string; readonly nth: number };
  readonly help: boolean;
  /** Said once, until the next key. */
  readonly message?: string;
  readonly done: boolean;
}

/** @param views where the map opens; default: the overview */
export const newModel = (...views: readonly View[]): Model => ({
  views: [{ kind: 'overview' }, ...views],
  tops: [0, ...views.map(() => 0)],
  overviewOrder: { by: 'name', reversed: false },
  blockOrder: { by: 'address', reversed: false },
  help: false,
  done: false,
});

export const viewOf = ({ views }: Model): View => views.at(-1) ?? { kind: 'overview' };

/** Replaces the view that is shown. */
export const withView = (model: Model, view: View): Model => ({
  ...model,
  views: [...model.views.slice(0, -1), view],
});

/** Shows one more view, from which Esc leads back. */
export const opened = (model: Model, view: View): Model => ({
  ...model,
  views: [...model.views, view],
  tops: [...model.tops, 0],
});
