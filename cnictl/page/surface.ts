import { el } from './dom.ts';

export interface Painter {
  /** Height of all there is to paint, for a width. */
  height(width: number): number;
  /** Paints what lies between two heights, in pixels of CSS, the first row at 0. */
  paint(context: CanvasRenderingContext2D, width: number, top: number, bottom: number): void;
}

export interface SurfaceEvents {
  readonly move: (x: number, y: number) => void;
  readonly leave: () => void;
  readonly click: (x: number, y: number) => void;
  readonly key: (event: KeyboardEvent) => void;
}

/**
 * A canvas as large as its window on something larger: it paints only what is seen, so that its
 * cost does not grow with the number of ranges.
 */
export class Surface {
  readonly element: HTMLDivElement;
  readonly #canvas = el('canvas', { 'aria-hidden': 'true' });
  readonly #spacer = el('div', { class: 'spacer' });
  readonly #painter: Painter;
  #frame = 0;

  /** @param label what is said of it to those who hear the page */
  constructor(painter: Painter, label: string, events: SurfaceEvents) {
    this.#painter = painter;
    this.element = el(
      'div',
      { class: 'surface', tabindex: '0', role: 'application', 'aria-label': label },
      this.#canvas,
      this.#spacer,
    );
    const at = (event: MouseEvent): [number, number] => {
      const { left, top } = this.#canvas.getBoundingClientRect();
      return [event.clientX - left, event.clientY - top + this.element.scrollTop];
    };
    this.element.addEventListener('scroll', () => this.redraw(), { passive: true });
    this.element.addEventListener('keydown', events.key);
    this.element.addEventListener('focus', () => this.redraw());
    this.element.addEventListener('blur', () => this.redraw());
    this.#canvas.addEventListener('mousemove', (event) => events.move(...at(event)));
    this.#canvas.addEventListener('mouseleave', events.leave);
    this.#canvas.addEventListener('click', (event) => events.click(...at(event)));
    new ResizeObserver(() => this.redraw()).observe(this.element);
  }

  get width(): number {
    return this.element.clientWidth;
  }

  get seen(): number {
    return this.element.clientHeight;
  }

  get hasFocus(): boolean {
    return document.activeElement === this.element;
  }

  set pointer(isOver: boolean) {
    this.#canvas.classList.toggle('over', isOver);
  }

  /** Paints at the next frame. */
  redraw(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  /** Scrolls so that what lies between two heights is seen. */
  reveal(top: number, bottom: number): void {
    this.#size();
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (bottom > scrollTop + clientHeight) this.element.scrollTop = bottom - clientHeight;
    this.redraw();
  }

  #size(): number {
    const { clientWidth, clientHeight } = this.element;
    const height = this.#painter.height(clientWidth);
    this.#spacer.style.height = `${Math.max(0, height - clientHeight)}px`;
    return clientHeight;
  }

  #paint(): void {
    this.#frame = 0;
    const width = this.element.clientWidth;
    const height = this.#size();
    if (width === 0 || height === 0) return;
    const scale = window.devicePixelRatio;
    const [deviceWidth, deviceHeight] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.#canvas.width !== deviceWidth || this.#canvas.height !== deviceHeight) {
      this.#canvas.width = deviceWidth;
      this.#canvas.height = deviceHeight;
      this.#canvas.style.height = `${height}px`;
    }
    const context = this.#canvas.getContext('2d');
    if (!context) return;
    const top = this.element.scrollTop;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, deviceWidth, deviceHeight);
    context.setTransform(scale, 0, 0, scale, 0, -top * scale);
    this.#painter.paint(context, width, top, top + height);
  }
}
