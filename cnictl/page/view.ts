import type { MapEvent } from './model.ts';
import type { Place } from './location.ts';
import type { Palette } from './palette.ts';

/** What views need of the page around them. */
export interface Page {
  readonly palette: () => Palette;
  /** Goes to another place. `isQuiet`: the former one is not gone back to. */
  readonly go: (place: Place, isQuiet?: boolean) => void;
  /** Tells that a question failed. */
  readonly failed: (error: unknown) => void;
  /** Gives the keyboard to the map. */
  readonly focus: () => void;
}

/** What fills the page below its head. */
export interface View {
  readonly element: HTMLElement;
  /** Takes a new place of the same kind over; false: another view must show it. */
  show(place: Place): boolean;
  event(event: MapEvent): void;
  /** Asks for everything again. */
  again(): void;
  /** Colours are others now. */
  repaint(): void;
  focus(): void;
  close(): void;
}
