/**
 * A real browser, Debian's chromium, by its DevTools protocol over a pipe: no package and no port
 * is needed. https://chromedevtools.github.io/devtools-protocol/
 */
import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './proc.ts';

type Json = Record<string, unknown>;

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Json;
  readonly result?: Json;
  readonly error?: { readonly message: string };
}

export interface BrowserOptions {
  /** A folder of its own, for the profile. */
  readonly dir: string;
  readonly width?: number;
  readonly height?: number;
}

/** Keys that are no characters. */
const KEY_CODES: Readonly<Record<string, number>> = {
  ...{ Enter: 13, Escape: 27, End: 35, Home: 36, PageDown: 34, PageUp: 33, Tab: 9 },
  ...{ ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 },
};

/** One page of a browser. */
export class Browser {
  /** What the page wrote to its console, threw, or was refused by its security policy. */
  readonly complaints: string[] = [];
  readonly #write: Writable;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly #close: () => Promise<void>;
  #session = '';
  #next = 1;

  private constructor(write: Writable, read: Readable, close: () => Promise<void>) {
    this.#write = write;
    this.#close = close;
    let rest = '';
    read.setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\0');
      rest = parts.pop() ?? '';
      for (const part of parts) this.#take(JSON.parse(part) as Reply);
    });
    read.on('error', () => undefined);
    write.on('error', () => undefined);
  }

  /** @throws Error when chromium does not start */
  static async start({ dir, width = 1440, height = 900 }: BrowserOptions): Promise<Browser> {
    const child = spawn(
      'chromium',
      [
        ...['--headless=new', '--remote-debugging-pipe', `--user-data-dir=${dir}`],
        // Root has no other way; the pages are ours.
        ...['--no-sandbox', '--no-first-run', '--no-default-browser-check', '--disable-gpu'],
        ...['--disable-dev-shm-usage', '--disable-extensions', '--disable-background-networking'],
        ...[
          '--disable-component-update',
          '--hide-scrollbars',
          '--force-color-profile=srgb',
          '--no-proxy-server',
        ],
        `--window-size=${width},${height}`,
        'about:blank',
      ],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true },
    );
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const [write, read] = [child.stdio[3] as Writable, child.stdio[4] as Readable];
    const browser = new Browser(write, read, async () => {
      await Promise.race([ended, sleep(3_000)]);
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      await ended;
    });
    const { targetId } = await browser.#ask('Target.createTarget', { url: 'about:blank' });
    const attached = await browser.#ask('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = String(attached['sessionId']);
    for (const domain of ['Page', 'Runtime', 'Log', 'Audits', 'Network'])
      await browser.#ask(`${domain}.enable`);
    await browser.#ask('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    return browser;
  }

  async close(): Promise<void> {
    this.#session = '';
    void this.#ask('Browser.close').catch(() => undefined);
    await this.#close();
  }

  async open(url: string): Promise<void> {
    await this.#ask('Page.navigate', { url });
  }

  /** Returns the value of an expression in the page. @throws Error of the page */
  async value<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#ask('Runtime.evaluate', {
      ...{ expression, returnByValue: true, awaitPromise: true },
    });
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: T }).value;
  }

  /** Waits until an expression in the page is true, or anything but undefined, null and ''. */
  async sees<T>(what: string, expression: string): Promise<T> {
    return await until(what, async () => {
      try {
        return (await this.value<T>(expression)) || undefined;
      } catch {
        return undefined;
      }
    });
  }

  text(selector: string): Promise<string> {
    return this.value(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ''`);
  }

  /** Clicks at a place of an element, default: its middle. */
  async click(selector: string, at?: { readonly x: number; readonly y: number }): Promise<void> {
    const place = await this.sees<{ x: number; y: number; w: number; h: number }>(
      `${selector} to click at`,
      `(() => { const box = document.querySelector(${JSON.stringify(selector)})?.getBoundingClientRect(); return box && { x: box.left, y: box.top, w: box.width, h: box.height }; })()`,
    );
    const [x, y] = at ? [place.x + at.x, place.y + at.y] : [place.x + place.w / 2, place.y + place.h / 2];
    const button = { x, y, button: 'left', clickCount: 1 };
    await this.#ask('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y });
    await this.#ask('Input.dispatchMouseEvent', { type: 'mousePressed', ...button });
    await this.#ask('Input.dispatchMouseEvent', { type: 'mouseReleased', ...button });
  }

  /** Presses keys, one behind the other: `Enter`, `ArrowDown`, `/`. */
  async press(...keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      const code = KEY_CODES[key];
      const text = key === 'Enter' ? '\r' : code === undefined ? key : undefined;
      const about = {
        key,
        ...(code !== undefined && { windowsVirtualKeyCode: code }),
        ...(text !== undefined && { text }),
      };
      await this.#ask('Input.dispatchKeyEvent', {
        type: text === undefined ? 'rawKeyDown' : 'keyDown',
        ...about,
      });
      await this.#ask('Input.dispatchKeyEvent', { type: 'keyUp', key });
    }
  }

  async type(text: string): Promise<void> {
    await this.#ask('Input.insertText', { text });
  }

  /** Light or dark, as the system would have it; nothing moves. */
  async colours(scheme: 'light' | 'dark'): Promise<void> {
    await this.#ask('Emulation.setEmulatedMedia', {
      features: [
        { name: 'prefers-color-scheme', value: scheme },
        { name: 'prefers-reduced-motion', value: 'reduce' },
      ],
    });
  }

  /** Returns a picture of what is seen, as a PNG. */
  async picture(): Promise<Buffer> {
    const { data } = await this.#ask('Page.captureScreenshot', { format: 'png' });
    return Buffer.from(String(data), 'base64');
  }

  #ask(method: string, params: Json = {}): Promise<Json> {
    const id = this.#next++;
    const session = this.#session === '' ? {} : { sessionId: this.#session };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result ?? {});
      });
      this.#write.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    });
  }

  #take(reply: Reply): void {
    if (reply.id !== undefined) {
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
      return;
    }
    const { method = '', params = {} } = reply;
    if (method === 'Runtime.exceptionThrown')
      this.complaints.push(JSON.stringify(params['exceptionDetails']));
    if (method === 'Runtime.consoleAPICalled') this.complaints.push(JSON.stringify(params['args']));
    // Others are advice, such as on pages that scripts went to.
    const issue = params['issue'] as { code?: string } | undefined;
    if (issue?.code === 'ContentSecurityPolicyIssue') this.complaints.push(JSON.stringify(params['issue']));
    const entry = params['entry'] as { level?: string; text?: string; url?: string } | undefined;
    if (method === 'Log.entryAdded' && entry?.level === 'error')
      this.complaints.push(`${entry.text ?? ''} ${entry.url ?? ''}`);
  }
}
