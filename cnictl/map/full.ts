import { firstFull } from '../../ipam/query/forecasts.ts';
import { fullInText } from '../render/forecast.ts';
import type { Facts } from './model.ts';

type Known = Pick<Facts, 'forecasts' | 'now'>;

/**
 * Returns when the range is full at the present pace, in milliseconds since 1970; Infinity: nobody
 * knows, or it lasts.
 */
export function fullAt({ forecasts, now }: Known, range: string): number {
  const forecast = forecasts?.ranges.get(range);
  return (forecast && firstFull(forecast, now)?.at) ?? Infinity;
}

/** `full in 34d`; empty where the range lasts, or nobody knows. */
export function fullText(facts: Known, range: string): string {
  if (fullAt(facts, range) === Infinity) return '';
  const text = fullInText(facts.forecasts?.ranges.get(range), facts.now);
  return text.startsWith('now') ? `full ${text}` : `full in ${text}`;
}
