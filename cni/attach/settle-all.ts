/**
 * All at once; when one fails the others are awaited all the same, so that what they make is known and can be undone.
 * @throws what the first of them that failed, in their order, was rejected with
 */
export async function settleAll<T extends readonly unknown[]>(
  ...work: { readonly [I in keyof T]: Promise<T[I]> }
): Promise<T> {
  for (const each of await Promise.allSettled(work)) if (each.status === 'rejected') throw each.reason;
  return await Promise.all(work);
}
