/** The JSON of the routes below `/api/`, as cnictl/serve/map-json.ts makes it. */

export type CellState = 'free' | 'used' | 'cooling' | 'kept' | 'reserved' | 'conflict' | 'unknown';
export type Counts = Readonly<Record<CellState, number>>;

export interface Holder {
  readonly kind: 'node' | 'rule';
  readonly name: string;
}

export interface Pod {
  readonly namespace: string | null;
  readonly name: string | null;
  readonly uid: string | null;
}

export interface RangeInfo {
  readonly name: string;
  readonly cidr: string;
  readonly gateway: string | null;
  readonly vlan: number | null;
  readonly state: 'active' | 'draining';
  readonly namedOnly: boolean;
  readonly blockSize: number;
  readonly capacity: number;
  readonly counts: Counts;
  readonly blocks: { readonly total: number; readonly claimed: number };
  readonly holders: number;
  /** The range in little: see stripOf of the server. */
  readonly strip: string;
  /** Present where the server knows when the range will be full. */
  readonly forecast?: unknown;
}

export interface Told {
  readonly revision: number;
  /** The server's time. */
  readonly now: string;
}

export interface RangesAnswer extends Told {
  readonly ranges: readonly RangeInfo[];
  readonly unreadable: readonly string[];
}

export interface Row {
  readonly cidr: string;
  readonly holder: Holder | null;
  readonly claimedAt: string | null;
  /** One letter for each address. */
  readonly cells: string;
}

export interface RangeAnswer extends Told {
  readonly range: RangeInfo;
  readonly rows: readonly Row[];
  readonly hidden: number;
}

export interface AddressInfo {
  readonly ip: string;
  readonly range: string;
  readonly block: string;
  readonly state: CellState;
  readonly holder: Holder | null;
  readonly node: string | null;
  readonly reservedAs: string | null;
  readonly mac: string | null;
  readonly pod?: Pod | null;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly network?: string;
  readonly since?: string;
  readonly keep?: { readonly rule: string; readonly forMs: number | null };
  readonly condemned?: { readonly at: string; readonly by: string; readonly reason: string };
  readonly chosenBy?: readonly string[];
  readonly conflictMac?: string;
}

export interface BlockAnswer extends Told {
  readonly cidr: string;
  readonly addresses: readonly AddressInfo[];
}

export interface Lifetime {
  readonly from: string;
  readonly until: string | null;
  readonly node: string | null;
  readonly pod: Pod | null;
  readonly containerId: string;
  readonly ifname: string;
  readonly why?: string;
  readonly detail?: string;
  readonly by?: string;
}

export interface OwnerAt {
  readonly time: string;
  readonly isCertain: boolean;
  readonly owner: Lifetime | null;
}

export interface AddressAnswer extends Told {
  readonly address: AddressInfo;
  readonly past: readonly Lifetime[];
  readonly keptReleases: number;
  readonly completeSince: string | null;
  readonly unreadable: readonly string[];
  readonly at?: OwnerAt;
}

export interface Found {
  readonly kind: 'address' | 'block' | 'range' | 'node' | 'rule' | 'namespace' | 'pod';
  readonly text: string;
  readonly fit: number;
  readonly range?: string;
  readonly block?: string;
  readonly ip?: string;
  readonly state?: CellState;
  readonly holder?: Holder | null;
  readonly addresses?: number;
  readonly blocks?: number;
}

export interface SearchAnswer extends Told {
  readonly found: readonly Found[];
  readonly more: boolean;
}

export interface StatusAnswer {
  readonly now: string;
  readonly revision: number | null;
  readonly trouble: { readonly reason: string; readonly forMs: number } | null;
  readonly prefix: string | null;
}

/** An event of `/events`, as far as the page uses it. */
export interface MapEvent {
  readonly type: string;
  readonly at: string | null;
  readonly ip: string | null;
  readonly range: string | null;
  readonly block: string | null;
  readonly node: string | null;
  readonly pod: Pod | null;
  readonly rule?: string;
  readonly reason?: string;
}

/** Letters of cells, as in the terminal. */
export const STATES: readonly { readonly state: CellState; readonly letter: string }[] = [
  { state: 'free', letter: '.' },
  { state: 'used', letter: '#' },
  { state: 'cooling', letter: 'c' },
  { state: 'kept', letter: 'k' },
  { state: 'reserved', letter: '-' },
  { state: 'conflict', letter: '!' },
  { state: 'unknown', letter: '?' },
];

const BY_LETTER = new Map(STATES.map(({ state, letter }) => [letter, state]));
export const stateOf = (letter: string | undefined): CellState => BY_LETTER.get(letter ?? '?') ?? 'unknown';

export const podText = (pod: Pod | null | undefined): string =>
  typeof pod?.name !== 'string' ? '' : `${pod.namespace ?? '?'}/${pod.name}`;

export const holderText = (holder: Holder | null): string =>
  holder === null ? '' : holder.kind === 'rule' ? `rule ${holder.name}` : holder.name;
