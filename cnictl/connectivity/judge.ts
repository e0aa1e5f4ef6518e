/** Judges what a client found. Pure. */
import type { Outcome } from './ask.ts';
import type { Check, Expected } from './check.ts';

export interface Verdict {
  readonly ok: boolean;
  readonly expected: string;
  readonly seen: string;
}

/** A refusal that takes longer is no refusal at once: the packet was lost, and sent again. */
const AT_ONCE_MS = 900;

export function judge({ expected, ask }: Check, outcome: Outcome): Verdict {
  const verdict = (ok: boolean): Verdict => ({
    ok,
    expected: expectedText(expected) + (ask.kind === 'large' ? `, with ${ask.bytes} bytes` : ''),
    seen: outcomeText(outcome),
  });
  switch (expected.kind) {
    case 'answer':
      return verdict(
        outcome.name === expected.by &&
          isSource(expected.source, outcome) &&
          (ask.kind !== 'large' || (outcome.bytes === ask.bytes && outcome.received === ask.bytes)),
      );
    case 'each':
      return verdict(sameNames(Object.keys(outcome.answers ?? {}), expected.of));
    case 'one': {
      const servers = Object.keys(outcome.answers ?? {});
      return verdict(servers.length === 1 && expected.of.includes(servers[0] ?? ''));
    }
    case 'refusal':
      return verdict(outcome.error === 'ECONNREFUSED' && (outcome.ms ?? Infinity) < AT_ONCE_MS);
    case 'connection':
      return verdict(outcome.error === undefined);
    case 'address':
      return verdict(outcome.addresses?.includes(expected.address) === true);
    case 'moved':
      return verdict(
        outcome.name !== undefined && outcome.name === outcome.movedTo && outcome.name !== outcome.movedFrom,
      );
  }
}

function isSource(source: Extract<Expected, { kind: 'answer' }>['source'], { seen, from }: Outcome): boolean {
  if (source === 'any') return true;
  return seen !== undefined && seen === (source === 'own' ? from : source.address);
}

const sameNames = (found: readonly string[], wanted: readonly string[]): boolean =>
  found.length === wanted.length && wanted.every((name) => found.includes(name));

function expectedText(expected: Expected): string {
  switch (expected.kind) {
    case 'answer': {
      const { by, source } = expected;
      if (source === 'any') return `${by} answers`;
      return `${by} answers, and sees ${source === 'own' ? "the client's own address" : source.address}`;
    }
    case 'each':
      return expected.of.length === 1
        ? `only ${expected.of.join()} answers`
        : `${expected.of.join(' and ')} answer, and nobody else`;
    case 'one':
      return `one of ${expected.of.join(' and ')} answers all connections`;
    case 'refusal':
      return 'refused at once (ECONNREFUSED)';
    case 'connection':
      return 'a connection';
    case 'address':
      return `the address ${expected.address}`;
    case 'moved':
      return 'the endpoint that stays keeps its TCP connection, and gets the UDP one of the other';
  }
}

export function outcomeText(outcome: Outcome): string {
  const { name, seen, from, error, ms, answers, received, addresses, movedFrom, movedTo } = outcome;
  const parts = [
    ...(name === undefined ? [] : [`${name} answered`]),
    ...(seen === undefined
      ? []
      : [`and saw ${seen}${from === undefined || from === seen ? '' : ` for ${from}`}`]),
    ...(received === undefined ? [] : [`${received} bytes came back`]),
    ...(answers === undefined ? [] : [countsText(answers)]),
    ...(addresses === undefined || error !== undefined ? [] : [addresses.join(', ') || 'no address']),
    ...(movedTo === undefined ? [] : [`UDP went from ${movedFrom ?? '?'} to ${movedTo}`]),
    ...(error === undefined ? [] : [`${error} after ${ms ?? 0} ms`]),
  ];
  return parts.length === 0
    ? `connected in ${ms ?? 0} ms`
    : parts.join(', ').replace(', and saw', ' and saw');
}

const countsText = (answers: Readonly<Record<string, number>>): string =>
  Object.entries(answers)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}×`)
    .join(', ') || 'nothing was asked';

const BY_PROXY = 'kube-proxy serves it, not the bridge';

/** Returns where the operator looks next when the check failed. */
export function adviceFor({ by, from, ask, to }: Check, namespace: string, node: string): string {
  const [service = ''] = to.split(',');
  switch (by) {
    case 'bridge': {
      const { address, port, kind } = ask;
      const target = `${address.includes(':') ? `[${address}]` : address}:${port}`;
      const udp = kind === 'udp' || kind === 'large' || kind === 'dns' ? '/udp' : '';
      const named = service.includes('/') ? service : `${namespace}/${service}`;
      return `With --keep, on node ${node}: cnictl service show ${named}; cnictl trace ${namespace}/${from} ${target}${udp}`;
    }
    case 'kube-proxy':
      return `${BY_PROXY}: does it run on node ${node}? Where nobody needs it: --no-kube-proxy`;
    case 'node-port':
      return `${BY_PROXY}, and the node needs a route to the pods: NodePort in docs/services.md`;
    case 'portmap':
      return `The plugin portmap makes it: is it in the node's network configuration list, and has the node a route to the pods? hostPort in docs/services.md`;
  }
}
