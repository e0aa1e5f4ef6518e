/**
 * A terminal as xterm shows it, as far as `cnictl map` uses it. Whatever else is sent to it is kept
 * in {@link Screen.unknown}: a test finds it there.
 */
export class Screen {
  #cells: string[][] = [];
  #row = 0;
  #column = 0;
  #inverse = false;
  #rest = '';
  columns: number;
  rows: number;
  isAlternate = false;
  hasCursor = true;
  wraps = true;
  /** Sequences and control characters that it does not know. */
  readonly unknown: string[] = [];

  constructor(columns: number, rows: number) {
    [this.columns, this.rows] = [columns, rows];
    this.#clear();
  }

  /** A terminal that a program has taken over, as `cnictl map` does. */
  static taken(columns: number, rows: number): Screen {
    const screen = new Screen(columns, rows);
    [screen.isAlternate, screen.wraps] = [true, false];
    return screen;
  }

  /** As a window does that gets another size: what was beyond it is gone. */
  resize(columns: number, rows: number): void {
    [this.columns, this.rows] = [columns, rows];
    this.#clear();
  }

  /** Each row, without the space at its end. */
  get lines(): string[] {
    return this.#cells.map((row) =>
      row
        .map((cell) => cell.slice(-1))
        .join('')
        .trimEnd(),
    );
  }

  get text(): string {
    return this.lines.join('\n');
  }

  /** What stands inverse: the cursor of the map. */
  get inverse(): string {
    return this.#cells
      .flat()
      .filter((cell) => cell.length > 1)
      .map((cell) => cell.slice(-1))
      .join('');
  }

  write(text: string): void {
    let left = this.#rest + text;
    this.#rest = '';
    while (left !== '') {
      if (/^\u001b(?:\[[?0-9;]*)?$/.test(left)) {
        this.#rest = left;
        return;
      }
      const [sequence] = /^\u001b\[[?0-9;]*[A-Za-z]/.exec(left) ?? [];
      if (sequence !== undefined) {
        this.#control(sequence.slice(2));
        left = left.slice(sequence.length);
        continue;
      }
      const [character = ''] = left;
      left = left.slice(character.length);
      if (!this.isAlternate && character === '\r') this.#column = 0;
      else if (!this.isAlternate && character === '\n') this.#row += 1;
      else if (/\p{Cc}/u.test(character)) this.unknown.push(JSON.stringify(character));
      else this.#put(character);
    }
  }

  #put(character: string): void {
    if (this.#column >= this.columns && this.wraps) [this.#row, this.#column] = [this.#row + 1, 0];
    if (this.#column >= this.columns) {
      this.unknown.push(`beyond the last column: ${character}`);
      return;
    }
    const row = this.#cells[this.#row];
    if (!row) this.unknown.push(`row ${this.#row + 1} of ${this.rows}`);
    else row[this.#column] = this.#inverse ? `!${character}` : character;
    this.#column += 1;
  }

  #control(sequence: string): void {
    const numbers = sequence.slice(0, -1).split(';').map(Number);
    if (sequence.endsWith('H')) [this.#row, this.#column] = [(numbers[0] ?? 1) - 1, (numbers[1] ?? 1) - 1];
    else if (sequence === 'K') this.#cells[this.#row]?.fill(' ', this.#column);
    else if (sequence === '2J') this.#clear();
    else if (sequence.endsWith('m')) this.#inverse = numbers.includes(7);
    else if (sequence === '?1049h' || sequence === '?1049l') this.#change(sequence.endsWith('h'));
    else if (sequence === '?25h' || sequence === '?25l') this.hasCursor = sequence.endsWith('h');
    else if (sequence === '?7h' || sequence === '?7l') this.wraps = sequence.endsWith('h');
    else this.unknown.push(sequence);
  }

  /** To the other screen or back. What was on the usual one counts for nothing here. */
  #change(isAlternate: boolean): void {
    this.isAlternate = isAlternate;
    [this.#row, this.#column] = [0, 0];
    this.#clear();
  }

  #clear(): void {
    this.#cells = Array.from({ length: this.rows }, () => Array.from({ length: this.columns }, () => ' '));
  }
}
