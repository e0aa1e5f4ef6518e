import type { OvsdbClient } from './client.ts';
import { asNumber } from './protocol.ts';

/**
 * Returns true when ovs-vswitchd carries out the database within the time. vswitchd copies
 * `next_cfg` to `cur_cfg` once it has (ovs-vswitchd.conf.db(5) "Open_vSwitch TABLE"), so this
 * function increments `next_cfg` and waits for `cur_cfg`.
 * Equivalent to: timeout MS ovs-vsctl set Open_vSwitch . external_ids:… (which waits the same way)
 * @throws OvsdbError when the database itself does not answer
 */
export async function isServed(client: OvsdbClient, withinMs: number): Promise<boolean> {
  let wanted = Infinity;
  let current = -Infinity;
  let served: (value: boolean) => void = () => undefined;
  const answer = new Promise<boolean>((resolve) => {
    served = resolve;
  });
  const judge = (): void => {
    if (current >= wanted) served(true);
  };
  const endMonitor = await client.monitor('Open_vSwitch', [], ['cur_cfg'], (row) => {
    current = asNumber(row?.['cur_cfg']) ?? current;
    judge();
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    const [, rows] = await client.transact([
      { op: 'mutate', table: 'Open_vSwitch', where: [], mutations: [['next_cfg', '+=', 1]] },
      { op: 'select', table: 'Open_vSwitch', where: [], columns: ['next_cfg'] },
    ]);
    wanted = asNumber(rows?.rows?.[0]?.['next_cfg']) ?? Infinity;
    judge();
    timer = setTimeout(() => served(false), withinMs);
    return await answer;
  } finally {
    clearTimeout(timer);
    endMonitor();
  }
}
