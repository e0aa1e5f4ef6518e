import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { addressAt, addressesOfBlock, blockRows, overviewOfRange } from '../../ipam/map/map.ts';
import type { BlockRow, MapSource } from '../../ipam/map/map.ts';
import { searchMap } from '../../ipam/map/search.ts';
import {
  formatCidr,
  offsetAddress,
  parseAddress,
  parseCidr,
  type Address,
} from '../../ipam/model/address.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { blockPrefixLength } from '../../ipam/model/range.ts';
import type { AddressHistory } from '../../ipam/query/history.ts';
import { isoTime } from '../../ipam/records/codec.ts';
import { CommandError } from '../context/errors.ts';
import { ownerAt } from './owner-at.ts';
import type { MapData } from './map-data.ts';
import { addressJson, foundJson, lifetimeJson, rangeJson, rowJson, type Extras } from './map-json.ts';
import { refuse, type Asked, type Route } from './router.ts';

export interface MapWorld {
  readonly data: MapData;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Reads an address and its past owners from etcd. @throws IpamError */
  readonly history: (address: Address) => Promise<AddressHistory>;
  /** What other parts tell of a range. */
  readonly extras: Extras;
}

/** What a question of the page is answered from. */
interface Moment {
  readonly source: MapSource;
  readonly revision: number;
  readonly now: number;
  readonly query: URLSearchParams;
}

type Answer = Readonly<Record<string, unknown>> | Refused;

class Refused {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string) {
    this.status = status;
    this.reason = reason;
  }
}

const MOST_FOUND = 200;

/** Routes below `/api/` for the page: what is on the map, as JSON. They only read. */
export function mapRoutes(world: MapWorld): Route[] {
  const of = (
    path: string,
    parameters: readonly string[],
    answer: (moment: Moment) => Answer | Promise<Answer>,
  ): Route => ({
    path: `/api/${path}`,
    answer: async (asked, response) => {
      const unknown = [...asked.query.keys()].find((key) => !parameters.includes(key));
      if (unknown !== undefined) {
        const known = parameters.join(', ') || 'none';
        refuse(response, 400, `unknown parameter '${unknown}': expected one of ${known}`);
        return;
      }
      const made = world.data.now();
      if (!made) {
        refuse(response, 503, 'etcd has not been read yet', { 'retry-after': '1' });
        return;
      }
      const moment = { ...made, now: world.now(), query: asked.query };
      await send(asked, response, moment, () => answer(moment));
    },
  });
  return [
    of('ranges', ['name'], (moment) => rangesAnswer(moment, world.extras)),
    of('range', ['name', 'block'], (moment) => rangeAnswer(moment, world.extras)),
    of('block', ['cidr'], blockAnswer),
    of('address', ['ip', 'at'], (moment) => addressAnswer(moment, world.history)),
    of('search', ['q', 'limit'], searchAnswer),
  ];
}

async function send(
  { headers }: Asked,
  response: ServerResponse,
  { revision, now }: Moment,
  answer: () => Answer | Promise<Answer>,
): Promise<void> {
  let body: Answer;
  try {
    body = await answer();
  } catch (error) {
    const status = statusOf(error);
    if (status === undefined) throw error;
    refuse(response, status, error instanceof Error ? error.message : String(error));
    return;
  }
  if (body instanceof Refused) {
    refuse(response, body.status, body.reason);
    return;
  }
  // The time is no part of what is compared: the page asks again and again.
  const text = JSON.stringify(body);
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  response.setHeader('etag', etag);
  if (headers['if-none-match'] !== etag) {
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    response.end(`{"revision":${revision},"now":"${isoTime(now)}",${text.slice(1)}\n`);
    return;
  }
  response.writeHead(304, { 'cache-control': 'no-store' });
  response.end();
}

/** Returns the status for an error that is the question's, or etcd's. */
function statusOf(error: unknown): number | undefined {
  if (error instanceof CommandError) return 400;
  if (!(error instanceof IpamError)) return undefined;
  if (error.code === 'invalid') return 400;
  if (error.code === 'not-found') return 404;
  return error.code.startsWith('store-') ? 503 : undefined;
}

function rangesAnswer({ source, now, query }: Moment, extras: Extras): Answer {
  const names = new Set(query.getAll('name'));
  const ranges = names.size === 0 ? source.ranges : source.ranges.filter(({ name }) => names.has(name));
  return {
    ranges: ranges.map((range) => ({
      ...rangeJson(source, overviewOfRange(source, range, now), now),
      ...extras(range.name),
    })),
    unreadable: source.unreadable,
  };
}

/** With `block=`: only these rows. */
function rangeAnswer({ source, now, query }: Moment, extras: Extras): Answer {
  const name = wanted(query, 'name', 'the name of a range');
  const found = blockRows(source, name, now);
  const range = source.ranges.find((each) => each.name === name);
  if (!found || !range) return new Refused(404, `there is no range '${name}'`);
  const blocks = new Set(query.getAll('block'));
  const isAsked = ({ cidr }: BlockRow): boolean => blocks.size === 0 || blocks.has(formatCidr(cidr));
  const rows = found.rows.filter(isAsked).map(rowJson);
  const about = { ...rangeJson(source, overviewOfRange(source, range, now), now), ...extras(name) };
  return { range: about, rows, hidden: found.hidden };
}

function blockAnswer({ source, now, query }: Moment): Answer {
  const text = wanted(query, 'cidr', 'a block, such as 10.20.0.16/28');
  const cidr = parseCidr(text, 'cidr');
  const first = addressAt(source, cidr.base, now);
  if (!first) return new Refused(404, `no range contains ${text}`);
  const { range, block } = first;
  if (cidr.prefixLength !== blockPrefixLength(range))
    return new Refused(400, `cidr '${text}': expected a block of range '${range.name}'`);
  const cells = block
    ? addressesOfBlock(source, block, now)
    : Array.from(
        { length: range.blockSize },
        (_, i) => addressAt(source, offsetAddress(cidr.base, BigInt(i)), now) ?? first,
      );
  return {
    range: range.name,
    cidr: text,
    claimedAt: block ? isoTime(block.claimedAt) : null,
    addresses: cells.map(addressJson),
  };
}

async function addressAnswer({ source, now, query }: Moment, history: MapWorld['history']): Promise<Answer> {
  const address = parseAddress(wanted(query, 'ip', 'an address, such as 10.20.0.17'), 'ip');
  const at = query.get('at');
  const time = at === null ? undefined : timeOf(at);
  const cell = addressAt(source, address, now);
  if (!cell) return new Refused(404, `no range contains ${query.get('ip') ?? ''}`);
  const { past, completeSince, kept, unreadable, view } = await history(address);
  return {
    address: addressJson(cell),
    past: past.map(lifetimeJson),
    keptReleases: kept,
    completeSince: completeSince === undefined ? null : isoTime(completeSince),
    unreadable: unreadable.map(({ reason }) => reason),
    ...(time !== undefined && {
      at: ownerAt({ past, completeSince, slot: view.slot, node: view.node }, time),
    }),
  };
}

function searchAnswer({ source, now, query }: Moment): Answer {
  const text = wanted(query, 'q', 'an address, or a name');
  const limit = query.get('limit') ?? '50';
  if (!/^[1-9]\d{0,2}$/.test(limit) || Number(limit) > MOST_FOUND)
    throw new CommandError(`limit=${limit}: expected a number from 1 to ${MOST_FOUND}`);
  const found = searchMap(source, text, now, Number(limit) + 1);
  return { found: found.slice(0, Number(limit)).map(foundJson), more: found.length > Number(limit) };
}

function wanted(query: URLSearchParams, key: string, what: string): string {
  const value = query.get(key) ?? '';
  if (value !== '') return value;
  throw new CommandError(`${key}: expected ${what}`);
}

/** Reads an instant, which names its time zone: the browser's may differ from the server's. */
function timeOf(text: string): number {
  const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/;
  const ms = form.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(ms)) return ms;
  throw new CommandError(`at=${text}: expected a time with its zone, such as 2026-01-31T03:15:00Z`);
}
