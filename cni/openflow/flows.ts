import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { hasCode } from '../../ipam/model/errors.ts';
import { managementSocket } from './management.ts';
import {
  countOf,
  countRequest,
  flowsOf,
  hello,
  listRequest,
  splitMessages,
  TYPE,
  type Cookies,
  type FlowEffect,
} from './messages.ts';

/** The flows of a bridge, without those that ovs-vswitchd hides, and without cellnet's own. */
export interface Flows {
  readonly count: number;
  /** Whether a flow sends packets to a port, `NORMAL`, a group or another table. */
  readonly outputs: boolean;
  /** Whether a flow sends packets to a controller. */
  readonly toController: boolean;
}

/** vswitchd answers within a millisecond, unless it is busy with its ports. */
const WITHIN_MS = 1_000;

/**
 * Reads what the flows of a bridge do, over the socket that ovs-vswitchd has for each bridge that
 * it has made: `BRIDGE.mgmt`, beside that of the database (ovs-ofctl(8) "Connecting to an OpenFlow
 * switch").
 * @param ovsdb remote of the database
 * @param besides flows that do not count: those of cellnet rely on the bridge to forward by itself
 * @returns `absent` when there is no such socket; undefined when nobody answers there, and for a
 *   database that is elsewhere
 */
export async function readFlows(
  ovsdb: string,
  bridge: string,
  besides: Cookies,
  withinMs = WITHIN_MS,
): Promise<Flows | 'absent' | undefined> {
  if (!ovsdb.startsWith('unix:/')) return undefined;
  const socket = managementSocket(ovsdb, bridge);
  try {
    return await ask(socket, besides, withinMs);
  } catch (error) {
    return hasCode(error, 'ENOENT') && (await isVswitchdsFolder(dirname(socket))) ? 'absent' : undefined;
  }
}

/** A database may have its socket in another folder than ovs-vswitchd has its own. */
async function isVswitchdsFolder(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch((): string[] => []);
  return names.some((name) => /^ovs-vswitchd.*\.(ctl|pid)$/.test(name));
}

/** Rejects with the error of the socket, or when the switch refuses a request or ends. */
function ask(path: string, besides: Cookies, withinMs: number): Promise<Flows> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(new Error(`no answer within ${withinMs} ms`)), withinMs);
    const dialogue = new Dialogue(
      besides,
      (request) => void socket.write(request),
      (flows) => {
        clearTimeout(timer);
        socket.destroy();
        resolve(flows);
      },
    );
    socket.on('connect', () => dialogue.begin());
    socket.on('data', (bytes) => {
      try {
        dialogue.receive(bytes);
      } catch (error) {
        fail(error as Error);
      }
    });
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('the switch ended the connection')));
  });
}

/**
 * Counts the flows first, which costs the switch little however many there are. It lists them only
 * when none outputs to `NORMAL`.
 */
class Dialogue {
  readonly #besides: Cookies;
  readonly #send: (request: Buffer) => void;
  readonly #done: (flows: Flows) => void;
  readonly #counts: number[] = [];
  readonly #listed: FlowEffect[] = [];
  #rest: Buffer = Buffer.alloc(0);

  constructor(besides: Cookies, send: (request: Buffer) => void, done: (flows: Flows) => void) {
    this.#besides = besides;
    this.#send = send;
    this.#done = done;
  }

  begin(): void {
    const counts = [
      countRequest('all'),
      countRequest('all', this.#besides),
      countRequest('normal'),
      countRequest('normal', this.#besides),
    ];
    this.#send(Buffer.concat([hello(), ...counts]));
  }

  receive(bytes: Buffer): void {
    const { messages, rest } = splitMessages(Buffer.concat([this.#rest, bytes]));
    this.#rest = rest;
    for (const { type, body } of messages) {
      if (type === TYPE.error) throw new Error('the switch refused the request');
      if (type !== TYPE.multipartReply) continue;
      if (this.#counts.length < 4) this.#count(countOf(body));
      else this.#list(body);
    }
  }

  #count(number: number): void {
    this.#counts.push(number);
    const [all = 0, ofOurs = 0, allNormal = 0, normalOfOurs] = this.#counts;
    if (normalOfOurs === undefined) return;
    const [count, normal] = [all - ofOurs, allNormal - normalOfOurs];
    if (count === 0 || normal > 0) this.#done({ count, outputs: normal > 0, toController: false });
    else this.#send(listRequest());
  }

  #list(body: Buffer): void {
    const { flows, isLast } = flowsOf(body);
    const { cookie: ours, mask } = this.#besides;
    this.#listed.push(...flows.filter(({ cookie }) => (cookie & mask) !== ours));
    if (!isLast) return;
    this.#done({
      count: this.#listed.length,
      outputs: this.#listed.some(({ outputs }) => outputs),
      toController: this.#listed.some(({ toController }) => toController),
    });
  }
}
