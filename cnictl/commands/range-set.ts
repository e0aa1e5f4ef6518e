import { findRange } from '../../ipam/store/ranges.ts';
import { setRange, withSettings, type RangeSettings } from '../../ipam/ranges/ranges.ts';
import type { Context } from '../context/context.ts';
import { formatDuration, parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';

export interface RangeSetOptions {
  readonly namedOnly?: boolean;
  readonly forAll?: boolean;
  readonly cooldown?: string;
  readonly dryRun?: boolean;
}

/** `range set`: changes what can change while pods have addresses of the range. */
export async function rangeSet(context: Context, name: string, options: RangeSetOptions): Promise<number> {
  const settings = settingsFrom(options);
  const dryRun = options.dryRun ?? false;
  const range = await context.withIpam(async (ipam) =>
    dryRun
      ? withSettings((await findRange(ipam, name)).range, settings)
      : await setRange(ipam, name, settings),
  );
  const namedOnly = range.namedOnly ?? false;
  context.print({ name, namedOnly, cooldownSeconds: range.cooldownMs / 1000, dryRun }, () => {
    const who = namedOnly ? 'only those who name it draw from it' : 'every pod may draw from it';
    const is = dryRun ? 'would be so' : 'is so';
    return `range ${name} ${is}: ${who}; a released address rests ${formatDuration(range.cooldownMs)}. Living pods keep their addresses.\n`;
  });
  return 0;
}

/** @throws CommandError */
function settingsFrom({ namedOnly, forAll, cooldown }: RangeSetOptions): Partial<RangeSettings> {
  if (namedOnly && forAll) throw new CommandError('--named-only and --for-all: expected one of them');
  const settings = {
    ...(namedOnly && { namedOnly: true }),
    ...(forAll && { namedOnly: false }),
    ...(cooldown !== undefined && { cooldownMs: parseDuration(cooldown, '--cooldown') }),
  };
  if (Object.keys(settings).length === 0)
    throw new CommandError('nothing to set: expected --named-only, --for-all or --cooldown');
  return settings;
}
