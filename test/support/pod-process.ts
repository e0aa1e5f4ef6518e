import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { REPOSITORY } from './cni.ts';
import type { Namespace } from './netns.ts';

export type Transport = 'tcp' | 'udp';

/** What a server says of a connection. */
export interface Answer {
  /** Name of the server. */
  readonly name?: string;
  /** Address of the client, as the server sees it. */
  readonly seen?: string;
  /** Code of the error, such as ECONNREFUSED, or `no answer`. */
  readonly error?: string;
  /** How long the error took. */
  readonly ms?: number;
  /** Of UDP: how many bytes came to the server, and back. */
  readonly bytes?: number;
  readonly received?: number;
}

export interface PodProcess {
  serve(transport: Transport, address: string, port: number, name: string): Promise<void>;
  ask(transport: Transport, address: string, port: number, withinMs?: number): Promise<Answer>;
  /** Asks many times over TCP. @returns how often each server answered, or each error came */
  many(address: string, port: number, count: number, atOnce?: number): Promise<Record<string, number>>;
  /** Opens a TCP connection and keeps it under the key. */
  hold(key: string, address: string, port: number): Promise<Answer>;
  /** Sends a line on a kept connection. */
  talk(key: string): Promise<Answer>;
  drop(key: string): Promise<void>;
  /**
   * Asks over UDP by the socket of the key: all of them are one connection.
   * @param bytes how long the question and the answer are
   */
  datagram(key: string, address: string, port: number, bytes?: number): Promise<Answer>;
  /** Answers DNS questions for the IPv4 addresses of these names. */
  names(address: string, names: Readonly<Record<string, string>>): Promise<void>;
  /** Asks a DNS server for the IPv4 addresses of a name. */
  lookUp(server: string, name: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** Runs a process in the pod's namespace that serves and asks as it is told. */
export function startPodProcess(ns: Namespace): PodProcess {
  const program = join(REPOSITORY, 'test/support/pod-process-main.mjs');
  const child = spawn('ip', ['netns', 'exec', ns.name, process.execPath, program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let next = 1;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, result, error } = JSON.parse(line) as { id: number; result?: unknown; error?: string };
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error === undefined) resolve?.(result);
    else reject?.(new Error(error));
  });
  const ended = new Promise<void>((resolve) => {
    child.on('exit', () => {
      for (const { reject } of waiting.values()) reject(new Error(`the process in ${ns.name} ended`));
      resolve();
    });
  });
  const tell = <T>(command: string, options: object): Promise<T> =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      child.stdin.write(`${JSON.stringify({ id, command, ...options })}\n`);
    });
  return {
    serve: async (protocol, address, port, name) => {
      await tell('serve', { protocol, address, port, name });
    },
    ask: (protocol, address, port, withinMs) => tell('ask', { protocol, address, port, withinMs }),
    many: (address, port, count, atOnce) => tell('many', { address, port, count, atOnce }),
    hold: (key, address, port) => tell('hold', { key, address, port }),
    talk: (key) => tell('talk', { key }),
    drop: async (key) => {
      await tell('drop', { key });
    },
    datagram: (key, address, port, bytes) => tell('datagram', { key, address, port, bytes }),
    names: async (address, names) => {
      await tell('names', { address, names });
    },
    lookUp: (server, name) => tell('lookUp', { server, name }),
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
