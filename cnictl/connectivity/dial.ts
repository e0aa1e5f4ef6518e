import { connect } from 'node:net';
import { hasCode, messageOf } from '../../ipam/model/errors.ts';
import type { Dialled } from '../context/world.ts';

const WITHIN_MS = 3_000;

/** Asks a server of the test over TCP, from the machine where cnictl runs. */
export function dial(address: string, port: number): Promise<Dialled> {
  const began = performance.now();
  const socket = connect(port, address);
  return new Promise<Dialled>((resolve) => {
    const fail = (error: string): void => resolve({ error, ms: Math.round(performance.now() - began) });
    const timer = setTimeout(() => fail('no answer'), WITHIN_MS);
    socket.on('data', (data) => {
      clearTimeout(timer);
      resolve(parsed(String(data)) ?? { error: 'another server answers there' });
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      fail(hasCode(error, 'ECONNREFUSED') ? 'ECONNREFUSED' : messageOf(error));
    });
  }).finally(() => socket.destroy());
}

function parsed(text: string): Dialled | undefined {
  try {
    return JSON.parse(text.split('\n')[0] ?? '') as Dialled;
  } catch {
    return undefined;
  }
}
