import { ok, warn, fail, type Finding } from './finding.ts';

/**
 * One answer that carries a time, in milliseconds since 1970. `asked` and `answered` are by the
 * local clock.
 */
export interface ClockReading {
  /** Whole seconds, rounded down. Undefined when the answer carries no time. */
  readonly serverTime: number | undefined;
  readonly asked: number;
  readonly answered: number;
}

/** Above this, the order of events in logs is wrong. */
const WARN_MS = 2_000;
/** The default cooldown. Above this, an address cools too short or too long. */
const FAIL_MS = 30_000;

/**
 * Returns bounds, in milliseconds, on how far the server's clock is ahead. A Date header has whole
 * seconds and the answer took a while, so tighter bounds are impossible.
 */
export function skewOf({ serverTime, asked, answered }: ClockReading): readonly [number, number] | undefined {
  return serverTime === undefined ? undefined : [serverTime - answered, serverTime + 1000 - asked];
}

export function judgeClock(check: string, reading: ClockReading): Finding {
  const skew = skewOf(reading);
  if (!skew) return warn(check, 'the answer carries no time', 'Compare the clocks by hand: date -u');
  const [least, most] = skew;
  const exact = `±${((most - least) / 2000).toFixed(1)} s`;
  // The certain skew. When zero lies between the bounds, the clocks may agree.
  const certain = least > 0 ? least : most < 0 ? -most : 0;
  if (certain === 0) return ok(check, `no skew that shows (${exact})`);
  const middle = Math.abs((least + most) / 2000).toFixed(1);
  const detail = `its clock is ${middle} s ${least > 0 ? 'ahead of' : 'behind'} ours (${exact})`;
  const remedy = 'Let chrony or systemd-timesyncd set the clocks: cooldowns and ages are told by them.';
  if (certain >= FAIL_MS) return fail(check, detail, remedy);
  return certain >= WARN_MS ? warn(check, detail, remedy) : ok(check, detail);
}
