/**
 * A recording of a terminal in asciinema's format, version 2: a line of JSON for the whole, then
 * one for each output with its seconds.
 * https://docs.asciinema.org/manual/asciicast/v2/
 */
export interface CastHeader {
  readonly version: 2;
  readonly width: number;
  readonly height: number;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly title: string;
  readonly idle_time_limit: number;
  readonly env: { readonly TERM: string };
}

export interface CastOutput {
  readonly seconds: number;
  readonly text: string;
}

export interface Cast {
  readonly header: CastHeader;
  readonly outputs: readonly CastOutput[];
}

export const WIDTH = 110;
export const HEIGHT = 30;

/** Collects what a program prints, with the time of each piece. */
export class Recorder {
  readonly #now: () => number;
  readonly #started: number;
  readonly #outputs: CastOutput[] = [];

  /** @param now milliseconds of a clock that only goes forward */
  constructor(now: () => number) {
    this.#now = now;
    this.#started = now();
  }

  /** @param text with plain line ends: a terminal needs a carriage return before each */
  print(text: string): void {
    const seconds = Math.round(this.#now() - this.#started) / 1000;
    this.#outputs.push({ seconds, text: text.replaceAll(/\r?\n/g, '\r\n') });
  }

  /** @param at milliseconds since 1970 */
  cast(title: string, at: number): Cast {
    const header = {
      ...({ version: 2, width: WIDTH, height: HEIGHT, timestamp: Math.floor(at / 1000), title } as const),
      ...{ idle_time_limit: 2, env: { TERM: 'xterm-256color' } },
    };
    return { header, outputs: this.#outputs };
  }
}

export const formatCast = ({ header, outputs }: Cast): string =>
  [header, ...outputs.map(({ seconds, text }) => [seconds, 'o', text])]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');
