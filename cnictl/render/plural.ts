import { renderCount } from './bar.ts';

/**
 * Returns a number with its noun: `1 block`, `2 blocks`.
 * @param many the plural, when it is not `one` with an s
 */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${renderCount(n)} ${n === 1 ? one : many}`;
}
