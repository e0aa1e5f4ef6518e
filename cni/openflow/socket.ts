import { connect, type Socket } from 'node:net';
import { messageOf } from '../../ipam/model/errors.ts';
import { OpenFlowError } from './errors.ts';

/** @throws OpenFlowError `unreachable`, `timeout` */
export function openSocket(path: string, withinMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const fail = (code: 'unreachable' | 'timeout', reason: string, cause?: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new OpenFlowError(code, `no switch answers at ${path}: ${reason}`, { cause }));
    };
    const timer = setTimeout(() => fail('timeout', `nothing within ${withinMs} ms`), withinMs);
    const onError = (error: Error): void => fail('unreachable', messageOf(error), error);
    socket.once('error', onError);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', onError);
      resolve(socket);
    });
  });
}
