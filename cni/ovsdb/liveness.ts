import type { OvsdbError } from './errors.ts';
import { asNumber } from './protocol.ts';
import type { OvsdbSession } from './session.ts';

/**
 * Returns true when ovs-vswitchd carries out the database within the time. vswitchd copies
 * `next_cfg` to `cur_cfg` once it has (ovs-vswitchd.conf.db(5) "Open_vSwitch TABLE"), so this
 * function increments `next_cfg` and waits for `cur_cfg`.
 * Equivalent to: timeout MS ovs-vsctl set Open_vSwitch . external_ids:… (which waits the same way)
 * @throws OvsdbError when the database itself does not answer, or the connection is lost
 */
export async function isServed(session: OvsdbSession, withinMs: number): Promise<boolean> {
  let wanted = Infinity;
  let current = -Infinity;
  let served: (value: boolean) => void = () => undefined;
  let failed: (error: OvsdbError) => void = () => undefined;
  const answer = new Promise<boolean>((resolve, reject) => {
    served = resolve;
    failed = reject;
  });
  // Without this handler a rejection during the transaction would count as unhandled.
  answer.catch(() => undefined);
  const judge = (): void => {
    if (current >= wanted) served(true);
  };
  const endMonitor = await session.monitor('Open_vSwitch', [], ['cur_cfg'], (row) => {
    current = asNumber(row?.['cur_cfg']) ?? current;
    judge();
  });
  const forget = session.onLost(failed);
  let timer: NodeJS.Timeout | undefined;
  try {
    const [, rows] = await session.transact([
      { op: 'mutate', table: 'Open_vSwitch', where: [], mutations: [['next_cfg', '+=', 1]] },
      { op: 'select', table: 'Open_vSwitch', where: [], columns: ['next_cfg'] },
    ]);
    wanted = asNumber(rows?.rows?.[0]?.['next_cfg']) ?? Infinity;
    judge();
    timer = setTimeout(() => served(false), withinMs);
    return await answer;
  } finally {
    clearTimeout(timer);
    forget();
    endMonitor();
  }
}
