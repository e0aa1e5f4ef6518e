import type { KubeApi } from '../../cni/kube/api.ts';
import type { KubeWriter } from '../../cni/kube/writer.ts';
import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import {
  DEFAULT_CONFIG_FILE,
  mergeSettings,
  parseSharedConfig,
  settingsFromEnvironment,
  type PartialSettings,
} from '../../ipam/settings/settings.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { jsonText, yamlText } from '../render/data.ts';
import { renderJsonPath } from '../render/jsonpath-evaluate.ts';
import { makePaint, type Paint } from '../render/paint.ts';
import { printable } from '../render/printable.ts';
import { unreadableNotes } from '../render/unreadable.ts';
import { parseDuration } from './durations.ts';
import { CommandError } from './errors.ts';
import { parseFormat, type Format } from './format.ts';
import type { KubeOptions, OpenIpam, World } from './world.ts';

/** Options of every command. */
export interface GlobalOptions {
  /** As it was written. {@link Context.format} is what it means. */
  readonly output: string;
  /** False with `--no-headers`. */
  readonly headers?: boolean;
  readonly color?: ColourChoice;
  readonly config?: string;
  readonly etcdEndpoints?: string;
  readonly etcdPrefix?: string;
  readonly etcdCaFile?: string;
  readonly etcdCertFile?: string;
  readonly etcdKeyFile?: string;
  readonly etcdUsername?: string;
  readonly etcdPasswordFile?: string;
  readonly kubeconfig?: string;
  /** Context of the kubeconfig. */
  readonly context?: string;
  readonly requestTimeout?: string;
  readonly ovsdb?: string;
}

/** Of a terminal that does not tell its width. */
const USUAL_COLUMNS = 80;
/** Default of `--request-timeout`. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Longest time for a list of all pods, of which a cluster may have half a million. */
const LIST_TIMEOUT_MS = 300_000;

export type ColourChoice = 'auto' | 'always' | 'never';

/**
 * Colours are for a terminal, unless NO_COLOR is set (no-color.org), or `--color` says otherwise.
 */
export const hasColours = ({ isTerminal, env }: World, choice: ColourChoice = 'auto'): boolean =>
  choice === 'auto' ? isTerminal && !env['NO_COLOR'] : choice === 'always';

/**
 * Holds what a command works with: the world, and the resolved settings (flag over environment over
 * file).
 */
export class Context {
  readonly world: World;
  readonly options: GlobalOptions;
  readonly settings: PartialSettings;
  /** The shared configuration's path, whether the file exists or not. */
  readonly configFile: string;
  /** Longest time for one request to the API server with its retries, in milliseconds. */
  readonly requestTimeoutMs: number;
  readonly paint: Paint;
  readonly format: Format;
  readonly #file: PartialSettings;

  /** @throws IpamError `invalid`, CommandError for a configuration file that does not exist */
  constructor(world: World, options: GlobalOptions) {
    this.world = world;
    this.options = options;
    this.format = parseFormat(options.output);
    this.requestTimeoutMs = requestTimeoutOf(options);
    this.configFile = options.config ?? (world.env['CELLNET_CONFIG'] || DEFAULT_CONFIG_FILE);
    this.#file = readShared(world, options.config);
    this.settings = mergeSettings([
      settingsFromFlags(options),
      settingsFromEnvironment(world.env),
      this.#file,
    ]);
    const isWide = this.format.kind === 'wide';
    this.paint = makePaint(hasColours(world, options.color), {
      headers: options.headers ?? true,
      isWide,
      ...(world.isTerminal && !isWide && { width: world.columns ?? USUAL_COLUMNS }),
    });
  }

  /** Opens IPAM for the work and closes it afterwards. */
  async withIpam<T>(work: (ipam: OpenIpam) => Promise<T>): Promise<T> {
    const ipam = await this.world.openIpam(etcdSettings(this.settings.etcd));
    try {
      return await work(ipam);
    } finally {
      ipam.close();
    }
  }

  /**
   * Connects to the API server for the work and closes the connection afterwards. Every operation,
   * also a list, ends within the request timeout.
   * @throws KubeError
   */
  async withKube<T>(work: (kube: KubeApi) => Promise<T>): Promise<T> {
    return await this.#withKube(this.requestTimeoutMs, work);
  }

  /**
   * Does the same for work that lists all pods: a list may last five minutes as long as the API
   * server is never silent for the request timeout.
   * @throws KubeError
   */
  async withKubeLists<T>(work: (kube: KubeApi) => Promise<T>): Promise<T> {
    return await this.#withKube(Math.max(LIST_TIMEOUT_MS, this.requestTimeoutMs), work);
  }

  /**
   * Does the same for work that makes and deletes objects.
   * @param grant what the operator does where the user lacks a right
   * @throws KubeError
   */
  async withKubeWriter<T>(grant: string, work: (kube: KubeWriter) => Promise<T>): Promise<T> {
    const kube = await this.world.openKubeWriter(this.#kubeOptions(this.requestTimeoutMs), grant);
    try {
      return await work(kube);
    } finally {
      kube.close();
    }
  }

  #kubeOptions(listTimeoutMs: number): KubeOptions {
    return {
      requestTimeoutMs: this.requestTimeoutMs,
      listTimeoutMs,
      kubeconfig: this.options.kubeconfig,
      context: this.options.context,
      configuredKubeconfig: this.#file.kubeconfig,
    };
  }

  async #withKube<T>(listTimeoutMs: number, work: (kube: KubeApi) => Promise<T>): Promise<T> {
    const kube = await this.world.openKube(this.#kubeOptions(listTimeoutMs));
    try {
      return await work(kube);
    } finally {
      kube.close();
    }
  }

  /** Tells whether any setting locates the API server. */
  get knowsKube(): boolean {
    const { env } = this.world;
    const home = env['HOME'];
    return (
      this.settings.kubeconfig !== undefined ||
      Boolean(env['KUBERNETES_SERVICE_HOST']) ||
      (home !== undefined && this.world.readFile(`${home}/.kube/config`) !== undefined)
    );
  }

  /** Prints the data in the requested format. Calls `table` only for a table. */
  print(data: unknown, table: () => string): void {
    const { format } = this;
    switch (format.kind) {
      case 'json':
        this.world.stdout(jsonText(data, 2));
        break;
      case 'yaml':
        this.world.stdout(yamlText(data));
        break;
      case 'jsonpath':
        this.world.stdout(renderJsonPath(format.path, data));
        break;
      // Only lists have names: others refuse this format before they begin.
      case 'name':
      case 'table':
      case 'wide':
        this.world.stdout(table());
        break;
    }
  }

  /**
   * Returns one of many values that come one by one, in the requested format: JSON in one line,
   * YAML as a document of its own.
   */
  textOfNext(data: unknown, line: () => string): string {
    const { format } = this;
    switch (format.kind) {
      case 'json':
        return jsonText(data);
      case 'yaml':
        return `---\n${yamlText(data)}`;
      case 'jsonpath':
        return `${renderJsonPath(format.path, data)}\n`;
      case 'name':
      case 'table':
      case 'wide':
        return line();
    }
  }

  /** Whether the result is for people. */
  get printsTable(): boolean {
    return ['table', 'wide', 'name'].includes(this.format.kind);
  }

  warn(text: string): void {
    this.world.stderr(`cnictl: ${printable(text)}\n`);
  }

  /** Tells on stderr what was done, beside the result. */
  note(text: string): void {
    this.world.stderr(`${printable(text)}\n`);
  }

  /** Reports records that a command left out. To be called after the result is printed. */
  warnUnreadable(unreadable: readonly UnreadableRecord[]): void {
    for (const note of unreadableNotes(unreadable)) this.warn(note);
  }

  /**
   * Asks the operator before a destructive change. Without a terminal, only `--yes` permits it.
   * @param what a sentence without its full stop
   * @throws CommandError
   */
  async confirm(what: string, yes: boolean): Promise<void> {
    if (yes) return;
    if (!this.world.isTerminal) {
      throw new CommandError(
        `${what}: nobody can be asked, for this is no terminal`,
        'Add --yes, or look first with --dry-run.',
      );
    }
    const answer = await this.world.ask(`${printable(what)}. Go on? [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('nothing was changed: it was not confirmed');
  }
}

function requestTimeoutOf({ requestTimeout: text }: GlobalOptions): number {
  if (text === undefined) return REQUEST_TIMEOUT_MS;
  const ms = parseDuration(text, '--request-timeout');
  if (ms > 0) return ms;
  throw new CommandError(`--request-timeout '${text}': expected more than 0, such as 30s`);
}

function readShared(world: World, flag: string | undefined): PartialSettings {
  const named = flag ?? (world.env['CELLNET_CONFIG'] || undefined);
  const file = named ?? DEFAULT_CONFIG_FILE;
  const content = world.readFile(file);
  if (content !== undefined) return parseSharedConfig(content, file);
  if (named === undefined) return {};
  throw new CommandError(
    `configuration file '${file}' does not exist: ${flag === undefined ? 'CELLNET_CONFIG' : '--config'} names it`,
    `Correct the path, or name none: then ${DEFAULT_CONFIG_FILE} is read where it exists.`,
  );
}

function settingsFromFlags(options: GlobalOptions): PartialSettings {
  return {
    etcd: {
      endpoints: options.etcdEndpoints?.split(',').map((each) => each.trim()),
      prefix: options.etcdPrefix,
      caFile: options.etcdCaFile,
      certFile: options.etcdCertFile,
      keyFile: options.etcdKeyFile,
      username: options.etcdUsername,
      passwordFile: options.etcdPasswordFile,
    },
    kubeconfig: options.kubeconfig,
    ovsdb: options.ovsdb,
  };
}
