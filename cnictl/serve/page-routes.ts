import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Route } from './router.ts';

/** The page's files below lib/web/ of dist/, as build.mjs makes them. */
const FILES = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/page.css', file: 'page.css', type: 'text/css; charset=utf-8' },
  { path: '/page.js', file: 'page.js', type: 'text/javascript; charset=utf-8' },
  { path: '/icon.svg', file: 'icon.svg', type: 'image/svg+xml' },
] as const;

/**
 * The files of the page, read once. They tell nothing of the cluster, so everybody gets them: the
 * page then asks for the token.
 * @param read returns the file's text; undefined: there is none
 */
export function pageRoutes(dist: string, read: (path: string) => string | undefined): Route[] {
  return FILES.flatMap(({ path, file, type }): Route[] => {
    const text = read(join(dist, 'lib', 'web', file));
    if (text === undefined) return [];
    const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 16)}"`;
    return [
      {
        path,
        isOpen: true,
        answer: ({ headers }, response) => {
          const isKnown = headers['if-none-match'] === etag;
          response.writeHead(isKnown ? 304 : 200, {
            'content-type': type,
            etag,
            'cache-control': 'no-cache',
          });
          response.end(isKnown ? undefined : text);
        },
      },
    ];
  });
}
