import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST } from './kernel.ts';

/** One message of a reply: its RTM_… type and the bytes after the netlink header. */
export interface Reply {
  readonly type: number;
  readonly payload: Buffer;
}

/** One operation as a value. Rtnetlink sends it and returns what `decode` makes of the replies. */
export interface Request<Answer = undefined> {
  /** Text for error messages, for example 'add address 10.20.0.17/22 to eth0'. */
  readonly operation: string;
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
  readonly decode: (replies: readonly Reply[]) => Answer;
}

/** Builds a request that changes something. The kernel replies with an acknowledgement only. */
export const change = (operation: string, type: number, flags: number, payload: Buffer): Request => ({
  operation,
  type,
  flags: NLM_F_REQUEST | NLM_F_ACK | flags,
  payload,
  decode: () => undefined,
});

/** Builds a request that lists every object of one kind. */
export const dump = <Item>(
  operation: string,
  type: number,
  payload: Buffer,
  decode: (reply: Reply) => Item,
): Request<Item[]> => ({
  operation,
  type,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  payload,
  decode: (replies) => replies.map(decode),
});
