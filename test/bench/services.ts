/**
 * Services in the bridge: 5,000 with 10 endpoints each, what an ADD waits for them, and what
 * traffic loses by them.
 */
import type { Scope } from '../support/netns.ts';
import { benchAdd } from './services-add.ts';
import { rowsTable } from './services-rows.ts';
import { benchScale } from './services-scale.ts';
import { benchTraffic } from './services-traffic.ts';
import { startServicesWorld } from './services-world.ts';

/** @param rounds of ADDs; the other measurements take fewer, of more seconds each */
export async function benchServices(scope: Scope, rounds: number): Promise<void> {
  const fewer = Math.max(1, Math.round(rounds / 8));
  const world = await startServicesWorld(scope);
  const show = (title: string, rows: Parameters<typeof rowsTable>[0]): void =>
    console.log(`\n${title}\n\n${rowsTable(rows)}`);
  show(`5,000 Services with 10 endpoints each, medians of ${fewer} rounds:`, await benchScale(world, fewer));
  show(`ADD and DEL, whole processes, medians of ${rounds} rounds in turn:`, await benchAdd(world, rounds));
  show(`Traffic between pods, medians of ${fewer} rounds in turn:`, await benchTraffic(scope, world, fewer));
}
