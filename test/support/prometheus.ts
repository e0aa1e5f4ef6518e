/**
 * A scraper. It parses only the part of the Prometheus text format that tests need: label values
 * must contain no quotes.
 */
import { request } from 'node:http';

/** The address of an HTTP server. */
export type HttpTarget = { readonly socketPath: string } | { readonly host: string; readonly port: number };

/** Sends GET on a new connection. Rejects when the server does not answer within 5 s. */
export const httpGet = (target: HttpTarget, path: string): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const asking = request({ ...target, path, agent: false, timeout: 5_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asking.on('timeout', () => asking.destroy(new Error(`no answer to ${path} within 5 s`)));
    asking.on('error', reject);
    asking.end();
  });

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Returns every series of the metric. */
export const seriesOf = (text: string, name: string): Series[] =>
  text.split('\n').flatMap((line) => {
    const [, found, labels = '', value] = /^([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (found !== name) return [];
    const pairs = [...labels.matchAll(/([a-zA-Z0-9_]+)="([^"]*)"/g)];
    return [
      {
        labels: Object.fromEntries(pairs.map(([, key = '', text = '']) => [key, text] as const)),
        value: parseFloat(value ?? ''),
      },
    ];
  });

/**
 * Returns the value of the series that has exactly these labels, or undefined when there is none.
 */
export const sample = (
  text: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined => {
  const wanted = Object.entries(labels);
  return seriesOf(text, name).find(
    (each) =>
      Object.keys(each.labels).length === wanted.length &&
      wanted.every(([key, value]) => each.labels[key] === value),
  )?.value;
};
