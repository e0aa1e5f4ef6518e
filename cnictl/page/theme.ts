import { byId } from './dom.ts';

const THEMES = ['auto', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];
const KEY = 'cellnet-theme';
const SIGNS: Readonly<Record<Theme, string>> = { auto: 'Auto', light: 'Light', dark: 'Dark' };

/** Light or dark: as the system has it, or as it was chosen here. */
export class ThemeSwitch {
  #theme: Theme;
  readonly #changed: () => void;

  /** @param changed called when colours are others now */
  constructor(changed: () => void) {
    this.#changed = changed;
    this.#theme = stored();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
    byId('theme').addEventListener('click', () => this.#next());
    this.#show();
  }

  #next(): void {
    this.#theme = THEMES[(THEMES.indexOf(this.#theme) + 1) % THEMES.length] ?? 'auto';
    try {
      localStorage.setItem(KEY, this.#theme);
    } catch {
      // Without storage it holds until the page is closed.
    }
    this.#show();
    this.#changed();
  }

  #show(): void {
    if (this.#theme === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = this.#theme;
    byId('theme').textContent = SIGNS[this.#theme];
    byId('theme').setAttribute('aria-label', `Colours: ${SIGNS[this.#theme]}. Change`);
  }
}

function stored(): Theme {
  try {
    return THEMES.find((each) => each === localStorage.getItem(KEY)) ?? 'auto';
  } catch {
    return 'auto';
  }
}
