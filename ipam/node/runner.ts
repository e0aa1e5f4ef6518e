import type { Attachment } from '../model/attachment.ts';
import type { Effects } from '../model/effects.ts';
import { IpamError } from '../model/errors.ts';
import { newMark } from '../model/mark.ts';
import { machineKey } from '../records/machine-record.ts';
import { asRead, put, type Change } from '../records/transaction.ts';
import { retryLostRaces } from '../store/retry.ts';
import type { Store } from '../store/store.ts';
import { setBackReason, type Fence } from './fence.ts';
import type { LocalNode } from './local-node.ts';
import { checkOwnsName } from './name-owner.ts';
import { readNodeBlocks, type NodeBlocks } from './node-blocks.ts';
import type { Observer } from './observer.ts';
import { NodeTransaction, type Writer } from './transaction.ts';
import { writeBack } from './write-back.ts';

/** One change of a node's blocks. */
export interface NodeRequest<T> {
  /**
   * Changes the transaction and returns the result for the caller, valid once it is written.
   * Returns undefined if another writer was first, or if the cached data behind the transaction
   * does not suffice; the runner then reads everything again. An error that it throws fails only
   * this request: the request must not have changed the transaction by then.
   * @param lost how many races were lost so far
   */
  readonly change: (transaction: NodeTransaction, lost: number) => Promise<T | undefined> | T | undefined;
  /** Receives the result before the write. The write may fail or bring another result. */
  chosen?(value: T): void;
  /** The attachment whose lock the caller holds. */
  readonly holder?: Attachment;
}

/** Runs changes of node blocks: each in its own transaction, or concurrent ones together. */
export interface Runner {
  /**
   * @throws IpamError `other-machine` if another machine has the node's name, `contention`,
   *   `store-…`; if `uncertain` is set, etcd may have written it
   */
  run<T>(node: string, request: NodeRequest<T>): Promise<T>;
}

/**
 * Node blocks as this process last read or wrote them. A write that fails its comparison drops the
 * entry.
 */
export type NodeBlocksCache = Pick<Map<string, NodeBlocks>, 'get' | 'set' | 'delete'>;

/** Caches nothing: every request reads again. */
export const noCache: NodeBlocksCache = {
  get: () => undefined,
  set: () => new Map(),
  delete: () => false,
};

export interface RunContext {
  readonly store: Store;
  readonly effects: Effects;
  readonly observer: Observer;
  readonly cache: NodeBlocksCache;
  readonly local: LocalNode;
}

/** Runs each request at once, in its own transaction. */
export class DirectRunner implements Runner {
  readonly #context: RunContext;

  constructor(context: RunContext) {
    this.#context = context;
  }

  async run<T>(node: string, request: NodeRequest<T>): Promise<T> {
    const [result] = await runRequests(this.#context, node, [request]);
    if (result?.status === 'fulfilled') return result.value;
    throw result?.reason;
  }
}

/** A transaction that was sent, with the results for its callers. */
interface Sent<T> {
  readonly transaction: NodeTransaction;
  readonly change: Change;
  readonly results: PromiseSettledResult<T>[];
}

/**
 * Longest time since the first request after which an unanswered transaction is still looked into,
 * in milliseconds. Later the caller's own deadline is near.
 */
const SETTLE_WITHIN_MS = 3_000;

/**
 * Runs requests of one node in one transaction: it writes all whose change does not throw, or none.
 * @returns the outcome of each request; of fewer where more do not fit into one transaction
 * @throws IpamError `other-machine`, `contention`, `store-…` for all requests; with `uncertain`
 *   set, etcd may have written them
 */
export async function runRequests<T>(
  context: RunContext,
  node: string,
  requests: readonly NodeRequest<T>[],
): Promise<PromiseSettledResult<T>[]> {
  const { effects, observer, cache, local } = context;
  const startedAt = effects.monotonic();
  const holders = requests.flatMap(({ holder }) => holder ?? []);
  const sent: Sent<T>[] = [];
  let lost = 0;
  // An object, because the attempts change it.
  const races = { seemLost: false };

  const done = ({ transaction, change, results }: Sent<T>, revision: string): PromiseSettledResult<T>[] => {
    const after = transaction.after(change, revision);
    cache.set(node, after);
    local.saveFence(node, fenceOf(after), false);
    observer.wrote(transaction.tally);
    observer.holds(node, after.blocks);
    return results;
  };

  let endTurn: (() => void) | undefined;
  const attempt = async (n: number): Promise<PromiseSettledResult<T>[] | undefined> => {
    // A process that lost takes turns with the other losers: together they would lose again.
    if (n > 0) endTurn ??= await local.takeTurn();
    const known = cache.get(node);
    const before = known ?? (await readSafely(context, node, holders));
    if (!before) return undefined;
    if (!known) {
      const mine = sent.find(({ change }) => isWritten(change, before));
      if (mine && before.machine) return done(mine, before.machine.entry.revision);
      observer.holds(node, before.blocks);
    }
    const transaction = new NodeTransaction(node, before, known !== undefined);
    // Until the write has succeeded, the state in etcd is unknown.
    cache.delete(node);
    const results = await tryAll(requests, transaction, lost);
    if (!results) {
      if (!transaction.cached) lost++;
      return undefined;
    }
    if (transaction.isEmpty) {
      if (known) cache.set(node, known);
      return results;
    }
    results.forEach((result, i) => {
      if (result.status === 'fulfilled') requests[i]?.chosen?.(result.value);
    });
    // Callers start their I/O first: the kernel works on it while this process prepares the write.
    if (requests.some((request) => 'chosen' in request)) await effects.yieldTurn();
    const own = { transaction, change: transaction.change(writerOf(context, node)), results };
    sent.push(own);
    const revision = await commitOrSettle(context, node, own.change, before, startedAt);
    if (revision !== undefined) return done(own, revision);
    races.seemLost = true;
    if (!transaction.cached) lost++;
    return undefined;
  };
  try {
    return await retryLostRaces(`changing the blocks of node '${node}'`, effects, attempt);
  } catch (error) {
    throw races.seemLost ? asUncertain(error) : error;
  } finally {
    endTurn?.();
  }
}

/**
 * A race that seems lost may be won: the client repeats an unanswered transaction at the next
 * endpoint, and there it finds its own write. Only a read would tell; where that fails, the
 * transaction may have been carried out.
 */
function asUncertain(error: unknown): unknown {
  if (!(error instanceof IpamError) || error.uncertain || !error.code.startsWith('store-')) return error;
  const { code, message, remedy } = error;
  return new IpamError(code, message, { remedy, cause: error, uncertain: true });
}

/**
 * Reads the node's blocks, and makes sure that this machine may write them and that etcd has not
 * forgotten what lives on it.
 * @returns undefined if everything must be read again
 * @throws IpamError `other-machine`, `store-…`
 */
async function readSafely(
  context: RunContext,
  node: string,
  holders: readonly Attachment[],
): Promise<NodeBlocks | undefined> {
  const { store, local } = context;
  const fence = local.readFence(node);
  // Listed before etcd is read: an ADD enters an address there only after etcd has written it.
  const carried = local.carriedAddresses();
  const blocks = await readNodeBlocks(store, node);
  checkOwnsName(node, blocks.machine?.record, local.machine);
  const reason = setBackReason(fence, fenceOf(blocks));
  const outcome = await writeBack(context, writerOf(context, node), {
    node,
    blocks,
    reason,
    holders,
    carried,
  });
  // From here on, the history that etcd has now is the one to hold it to.
  if (outcome !== 'lost') local.saveFence(node, fenceOf(blocks), reason !== undefined);
  return outcome === 'nothing' ? blocks : undefined;
}

const fenceOf = ({ state, machine }: NodeBlocks): Fence => ({
  ...state,
  generation: machine?.record.generation ?? 0,
});

function writerOf({ effects, local }: RunContext, node: string): Writer {
  const generation = local.readFence(node)?.generation ?? 0;
  const mark = newMark(effects);
  return { machine: local.machine, bootId: local.bootId, mark, at: effects.now(), generation };
}

/** Returns whether the node's machine record is the one that the change wrote. */
function isWritten({ writes }: Change, { machine }: NodeBlocks): boolean {
  return (
    machine !== undefined &&
    writes.some(
      (each) => each.kind === 'put' && each.key === machine.entry.key && each.value === machine.entry.value,
    )
  );
}

/**
 * Commits the change. If etcd does not answer, finds out whether it carried the change out: its
 * mark stands in the machine record, or another write of the record keeps the change from ever
 * taking place.
 * @returns the revision of the change; undefined if it did not take place, and never will
 * @throws IpamError `store-…`; with `uncertain` set, the change may have been or be carried out
 */
async function commitOrSettle(
  context: RunContext,
  node: string,
  change: Change,
  before: NodeBlocks,
  startedAt: number,
): Promise<string | undefined> {
  const { store, effects } = context;
  try {
    return await store.commit(change.guards, change.writes);
  } catch (error) {
    const isOpen = error instanceof IpamError && error.uncertain;
    if (!isOpen || effects.monotonic() - startedAt > SETTLE_WITHIN_MS) throw error;
    try {
      return await settle(context, node, change, before);
    } catch {
      throw error;
    }
  }
}

async function settle(
  context: RunContext,
  node: string,
  { writes }: Change,
  before: NodeBlocks,
): Promise<string | undefined> {
  const { store } = context;
  const key = machineKey(node);
  const own = writes.find((each) => each.kind === 'put' && each.key === key);
  const fencing = new NodeTransaction(node, before, true);
  fencing.touch();
  const [blocker] = fencing.change(writerOf(context, node)).writes;
  const guard = asRead(key, before.machine?.entry);
  if (blocker?.kind === 'put' && (await store.commit([guard], [put(key, blocker.value)])) !== undefined)
    return undefined;
  const [now] = await store.get([key]);
  return now && own?.kind === 'put' && now.value === own.value ? now.revision : undefined;
}

/**
 * Returns undefined if one of the requests asks to read everything again. What does not fit into
 * the transaction is left out, from some request on.
 */
async function tryAll<T>(
  requests: readonly NodeRequest<T>[],
  transaction: NodeTransaction,
  lost: number,
): Promise<PromiseSettledResult<T>[] | undefined> {
  const results: PromiseSettledResult<T>[] = [];
  for (const request of requests) {
    if (results.length > 0 && transaction.isFull) break;
    try {
      const value = await request.change(transaction, lost);
      if (value === undefined) return undefined;
      results.push({ status: 'fulfilled', value });
    } catch (reason) {
      results.push({ status: 'rejected', reason });
    }
  }
  return results;
}
