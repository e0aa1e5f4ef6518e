import { renderBar } from './bar.ts';
import type { Paint } from './paint.ts';
import { CLEAR_LINE } from './printable.ts';

/** Ten updates a second look smooth and cost nothing. */
const INTERVAL_MS = 100;

export interface ProgressScreen {
  readonly stderr: (text: string) => void;
  readonly showsProgress: boolean;
  readonly now: () => number;
}

/** One moving line on a terminal. Elsewhere it writes nothing. */
export class ProgressLine {
  readonly #screen: ProgressScreen;
  readonly #paint: Paint;
  #shownAt = -Infinity;
  #shows = false;

  constructor(screen: ProgressScreen, paint: Paint) {
    this.#screen = screen;
    this.#paint = paint;
  }

  /** @param total 0 while the total is unknown */
  update(what: string, done: number, total: number): void {
    const { showsProgress, now, stderr } = this.#screen;
    if (!showsProgress) return;
    const at = now();
    // A clock that was set back must not stop the line.
    if (Math.abs(at - this.#shownAt) < INTERVAL_MS && (total === 0 || done < total)) return;
    this.#shownAt = at;
    this.#shows = true;
    const share = total > 0 ? `${renderBar(Math.min(done, total), total, this.#paint)}  ` : '';
    stderr(`${CLEAR_LINE}${share}${done}${total > 0 ? ` of ${total}` : ''} ${what}`);
  }

  /** Clears the line for other output. */
  clear(): void {
    if (!this.#shows) return;
    this.#shows = false;
    this.#screen.stderr(CLEAR_LINE);
  }
}
