import { OvsdbError } from './errors.ts';
import { asNumber, asString, type RawRow } from './protocol.ts';
import type { OvsdbSession } from './session.ts';

/**
 * Watches an interface until vswitchd has taken it up. The caller calls this function before it
 * sends the transaction that creates the interface, on the same connection. So the monitor misses
 * no change and costs no round trip. `cancel` ends the wait.
 * @param withinMs longest wait, in milliseconds
 */
export function waitForInterface(
  session: OvsdbSession,
  name: string,
  withinMs: number,
): { ofport: Promise<number>; cancel: () => void } {
  let end = (): void => undefined;
  let resolve: (ofport: number) => void = () => undefined;
  const ofport = new Promise<number>((succeed, reject) => {
    const fail = (error: unknown): void => {
      end();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    resolve = (number) => {
      end();
      succeed(number);
    };
    const timer = setTimeout(() => fail(portTimeout(name, withinMs)), withinMs);
    const forget = session.onLost(fail);
    end = (): void => {
      clearTimeout(timer);
      forget();
    };
    const listen = (row: RawRow | undefined): void => {
      const problem = asString(row?.['error']);
      const number = asNumber(row?.['ofport']);
      if (problem !== undefined) fail(portFailed(name, problem));
      else if (number !== undefined && number > 0) resolve(number);
    };
    session.monitor('Interface', [['name', '==', name]], ['ofport', 'error'], listen).catch(fail);
  });
  // Without this handler a rejection during the transaction would count as unhandled.
  ofport.catch(() => undefined);
  return { ofport, cancel: () => resolve(0) };
}

const REMEDY = { remedy: 'Look at the log of ovs-vswitchd, and at `ovs-vsctl show`.' };

/** @param problem vswitchd's own text */
export function portFailed(name: string, problem: string): OvsdbError {
  return new OvsdbError('port-failed', `ovs-vswitchd cannot use port '${name}': ${problem}`, REMEDY);
}

export function portTimeout(name: string, withinMs: number): OvsdbError {
  const within = `within ${Math.round(withinMs)} ms`;
  return new OvsdbError(
    'port-timeout',
    `ovs-vswitchd did not take port '${name}' up ${within}: does it run?`,
    REMEDY,
  );
}
