/**
 * Resolves to all results. When one promise rejects, this function still awaits the others, so that
 * the caller can undo what they made.
 * @throws the rejection of the first failed promise in argument order
 */
export async function settleAll<T extends readonly unknown[]>(
  ...work: { readonly [I in keyof T]: Promise<T[I]> }
): Promise<T> {
  for (const each of await Promise.allSettled(work)) if (each.status === 'rejected') throw each.reason;
  return await Promise.all(work);
}
