import { IpamError } from '../../ipam/model/errors.ts';
import { EtcdRefusal, type SimEtcd } from './etcd.ts';
import type { Process } from './process.ts';

/** What can happen to a request. */
export type EtcdTrouble =
  /** Nobody listens: the connection is refused at once. */
  | 'refused'
  /** The request is lost on its way: nothing is done, and no answer comes. */
  | 'lost'
  /** The request is carried out, and its answer is lost. */
  | 'unanswered'
  /** The request takes seconds: it may be carried out after the client gave up. */
  | 'late'
  /** The request is carried out, and the connection breaks at once. */
  | 'broken';

/** A trouble between some machines and etcd, while it lasts. */
export interface EtcdCondition {
  /** Absent: all machines. */
  readonly place?: string;
  readonly how: EtcdTrouble;
  /** The share of the requests that it hits, 0 to 1. */
  readonly share: number;
}

const ENDPOINTS = 'http://etcd:2379';
/** How late a `late` request arrives, in milliseconds. */
const LATE_MS = { least: 500, most: 15_000 };

/** The network between the machines and etcd. */
export class EtcdNetwork {
  readonly etcd: SimEtcd;
  readonly conditions = new Set<EtcdCondition>();
  readonly #latencyMs: number;

  /** @param latencyMs usual time from a client to etcd, and back, in milliseconds */
  constructor(etcd: SimEtcd, latencyMs: number) {
    this.etcd = etcd;
    this.#latencyMs = latencyMs;
  }

  /**
   * Sends one request.
   * @param apply what etcd does when the request arrives
   * @param deadlineMs how long the client waits for the answer
   * @param writing whether a request without answer may have changed something
   * @throws IpamError `store-unreachable`, `store-failed`, worded as the client of etcd does
   */
  call<T>(process: Process, writing: boolean, deadlineMs: number, apply: () => T): Promise<T> {
    const { scheduler } = process.sim;
    const { epoch } = this.etcd;
    const failure = (
      message: string,
      code: 'store-unreachable' | 'store-failed' | 'store-compacted' = 'store-unreachable',
    ): IpamError => new IpamError(code, `etcd at ${ENDPOINTS} ${message}`, { uncertain: writing });
    const late = (): IpamError => failure('did not answer in time');
    return process.ask<T>(deadlineMs, late, (resolve, reject) => {
      const trouble = this.#troubleOf(process);
      if (trouble === 'refused') {
        scheduler.after(0, () => reject(failure('is unreachable: connect ECONNREFUSED')));
        return;
      }
      if (trouble === 'lost') return;
      const delay = trouble === 'late' ? process.random.between(LATE_MS.least, LATE_MS.most) : 0;
      const back = process.latency(this.#latencyMs);
      scheduler.after(delay + process.latency(this.#latencyMs), () => {
        // Another server has taken over since: the connection is gone, and the request with it.
        if (this.etcd.epoch !== epoch) {
          reject(failure('is unreachable: read ECONNRESET'));
          return;
        }
        const answer = attempt(apply);
        if (trouble === 'unanswered') return;
        scheduler.after(trouble === 'broken' ? 0 : back, () => {
          if (trouble === 'broken') reject(failure('is unreachable: read ECONNRESET'));
          else if (answer instanceof EtcdRefusal)
            reject(failure(`failed: ${answer.message}`, refusalCode(answer)));
          else resolve(answer.value);
        });
      });
    });
  }

  #troubleOf({ place, random }: Process): EtcdTrouble | undefined {
    for (const each of this.conditions)
      if ((each.place === undefined || each.place === place) && random.chance(each.share)) return each.how;
    return undefined;
  }
}

const refusalCode = ({ message }: EtcdRefusal): 'store-failed' | 'store-compacted' =>
  message.includes('compacted') ? 'store-compacted' : 'store-failed';

/** @throws everything but a refusal: it is a fault of the simulation */
function attempt<T>(apply: () => T): { readonly value: T } | EtcdRefusal {
  try {
    return { value: apply() };
  } catch (error) {
    if (error instanceof EtcdRefusal) return error;
    throw error;
  }
}
