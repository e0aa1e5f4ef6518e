import { renderCount } from './bar.ts';

/** A number with its noun: `1 block`, `2 blocks`. @param many where it is not `one` with an s */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${renderCount(n)} ${n === 1 ? one : many}`;
}
