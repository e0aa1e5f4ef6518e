import type { OvsdbClient } from './client.ts';
import { asNumber } from './protocol.ts';

/**
 * Whether ovs-vswitchd carries out the database: it copies `next_cfg` to `cur_cfg` when it has (ovs-vswitchd.conf.db(5)
 * "Open_vSwitch TABLE"), so a step of `next_cfg` is asked for and waited for. False when it does not within the time.
 * Equivalent to: timeout MS ovs-vsctl set Open_vSwitch . external_ids:… (which waits the same way)
 * @throws OvsdbError where the database itself does not answer
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
