import type { CellEvent } from '../../ipam/events/event.ts';

/** A form in which events go over HTTP. */
export interface Format {
  readonly type: string;
  /** What comes first: the position from which the listener begins, if it has one. */
  readonly open: (position: string | undefined) => string;
  /** @param text the event as one line of JSON, with its end */
  readonly event: (event: Pick<CellEvent, 'position'>, text: string) => string;
  /** A sign of life, with how far the listener has got. */
  readonly idle: (position: string) => string;
}

/**
 * Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them. A
 * block without data only sets the position with which a browser connects again.
 */
export const SSE: Format = {
  type: 'text/event-stream; charset=utf-8',
  open: (position) => `retry: 1000\n${position === undefined ? '' : `id: ${position}\n`}\n`,
  event: ({ position }, text) => `${position === null ? '' : `id: ${position}\n`}data: ${text}\n`,
  idle: (position) => `: idle\nid: ${position}\n\n`,
};

/** Lines of JSON: https://github.com/ndjson/ndjson-spec. */
export const JSON_LINES: Format = {
  type: 'application/x-ndjson; charset=utf-8',
  open: () => '',
  event: (_, text) => text,
  idle: () => '',
};

/** The same, with a line now and then that tells how far the listener has got. */
export const JSON_LINES_AND_BOOKMARKS: Format = {
  ...JSON_LINES,
  open: (position) => (position === undefined ? '' : bookmark(position)),
  idle: (position) => bookmark(position),
};

const bookmark = (position: string): string => `${JSON.stringify({ type: 'bookmark', position })}\n`;
