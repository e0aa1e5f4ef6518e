import type { Told } from './model.ts';

/** What the server refused, or that it did not answer. */
export class ApiError extends Error {
  /** 0: no answer. */
  readonly status: number;
  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

const WITHIN_MS = 10_000;

interface Cached {
  readonly etag: string;
  readonly body: unknown;
}

/** Answers as they last were: the server says when one is still so. */
const cached = new Map<string, Cached>();
const MOST_CACHED = 64;

/** The server's time when the last answer came. */
let clock = { server: 0, here: 0 };

/** Returns the server's time, in milliseconds since 1970. */
export const serverNow = (): number => clock.server + performance.now() - clock.here;

/** Asks for a path below `/api/`. @throws ApiError */
export async function ask<T>(
  path: string,
  query: Readonly<Record<string, string | readonly string[] | undefined>> = {},
  signal?: AbortSignal,
): Promise<T> {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query))
    for (const each of typeof value === 'string' ? [value] : (value ?? [])) parameters.append(key, each);
  const text = parameters.toString();
  const url = `api/${path}${text === '' ? '' : `?${text}`}`;
  const known = cached.get(url);
  const response = await fetched(url, {
    headers: known ? { 'if-none-match': known.etag } : {},
    signal: signal
      ? AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)])
      : AbortSignal.timeout(WITHIN_MS),
    cache: 'no-store',
  });
  if (response.status === 304 && known) return known.body as T;
  if (!response.ok) throw new ApiError(response.status, (await response.text()).trim());
  const body = (await response.json()) as T & Partial<Told>;
  if (body.now !== undefined) clock = { server: Date.parse(body.now), here: performance.now() };
  const etag = response.headers.get('etag');
  if (etag !== null) {
    cached.delete(url);
    cached.set(url, { etag, body });
    const [oldest] = cached.keys();
    if (cached.size > MOST_CACHED && oldest !== undefined) cached.delete(oldest);
  }
  return body;
}

/** @throws ApiError */
export async function post(path: string, body: string): Promise<void> {
  const response = await fetched(`api/${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain' },
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  if (!response.ok) throw new ApiError(response.status, (await response.text()).trim());
}

async function fetched(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, credentials: 'same-origin', redirect: 'error' });
  } catch (error) {
    if (init.signal?.aborted === true && error instanceof DOMException && error.name === 'AbortError')
      throw error;
    throw new ApiError(0, error instanceof Error ? error.message : String(error));
  }
}
