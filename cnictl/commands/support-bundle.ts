import { VERSION } from '../../ipam/settings/version.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import { operatorOf } from '../context/operator.ts';
import { keys, nodeFiles, secretsOf } from '../doctor/bundle.ts';
import { redactText } from '../doctor/redact.ts';
import { ProgressLine } from '../render/progress.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { Archive } from '../support/archive.ts';
import { filesOfNode, nodePartJson, type NodePart } from '../support/node-part.ts';
import { nodeNote, readmeText, type PartNote } from '../support/readme.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { blockList } from './block.ts';
import { examine } from './doctor.ts';
import { events } from './events.ts';
import { nodeList } from './node.ts';
import { rangeList } from './range.ts';
import { ruleList } from './rule.ts';
import { status } from './status.ts';
import { capture } from './support-capture.ts';
import { withClusterPart, type AskNode, type ClusterPart } from './support-cluster.ts';

export interface SupportBundleOptions {
  /** Only this node beside etcd's part; without a file, print this node's part as JSON. */
  readonly thisNode?: boolean;
  /** Only these nodes. */
  readonly node?: readonly string[];
  readonly timeout: string;
}

/** Longest time for each file about the cluster, in milliseconds. */
const FILE_DEADLINE_MS = 60_000;
/** How many nodes are asked at once. */
const NODES_AT_ONCE = 16;

/** The files about the cluster: the command that prints each. */
const CLUSTER_FILES: readonly (readonly [
  name: string,
  command: string,
  work: (context: Context) => Promise<number>,
])[] = [
  ['cluster/status.json', 'cnictl status -o json', status],
  ['cluster/nodes.json', 'cnictl node list -o json', nodeList],
  ['cluster/ranges.json', 'cnictl range list -o json', rangeList],
  ['cluster/blocks.json', 'cnictl block list -o json', (context) => blockList(context, {})],
  ['cluster/rules.json', 'cnictl rule list -o json', ruleList],
  ['cluster/events.jsonl', 'cnictl events --since 1h -o json', (context) => events(context, { since: '1h' })],
];

/**
 * `support-bundle`: gathers what somebody needs who helps: of etcd, of the API server, and of each
 * node, by its agent's pod. What does not answer is named in the bundle. Exit status 2 when
 * something is missing; the bundle is written all the same.
 * @throws CommandError for options that do not fit, or a file that cannot be written
 */
export async function supportBundle(
  context: Context,
  file: string | undefined,
  options: SupportBundleOptions,
): Promise<number> {
  const timeoutMs = parseDuration(options.timeout, '--timeout');
  if (file === undefined) return await printOwnPart(context, options);
  if (options.thisNode && options.node)
    throw new CommandError('--this-node and --node: expected one of them');
  context.world.checkTarget(file);
  const bundle = new Bundle(context);
  await bundle.addEtcd();
  if (options.thisNode) await bundle.addOwn();
  else {
    await withClusterPart(context, bundle.secrets, async (cluster) => {
      bundle.addParts(cluster);
      await bundle.addNodes(cluster, options.node, timeoutMs);
    });
  }
  context.world.writeFile(file, bundle.finish());
  const missing = bundle.notes.filter(({ problem }) => problem !== undefined);
  context.print({ file, parts: bundle.notes }, () =>
    [
      `support bundle without secrets: ${printable(file)}\n`,
      ...missing.map(({ name, problem = '' }) => `missing: ${printable(`${name}: ${problem}`)}\n`),
    ].join(''),
  );
  return missing.length === 0 ? 0 : 2;
}

async function printOwnPart(context: Context, { thisNode }: SupportBundleOptions): Promise<number> {
  if (!thisNode)
    throw new CommandError(
      'no file is named: expected one, such as support.tar.gz',
      'cnictl support-bundle support.tar.gz',
    );
  const data = nodePartJson(await ownPart(context));
  context.world.stdout(`${JSON.stringify(data)}\n`);
  return 0;
}

async function ownPart(context: Context): Promise<NodePart> {
  const { findings, paths } = await examine(context);
  const files = await nodeFiles(context, findings, paths);
  return { node: context.settings.node ?? context.world.hostname, files };
}

class Bundle {
  readonly notes: PartNote[] = [];
  readonly secrets: readonly string[];
  readonly #context: Context;
  readonly #archive: Archive;
  readonly #progress: ProgressLine;
  #known: readonly string[] = [];

  constructor(context: Context) {
    this.#context = context;
    this.#archive = new Archive(context.world.now());
    this.#progress = new ProgressLine(context.world, context.paint);
    this.secrets = secretsOf(context);
  }

  /** Everything of etcd. What cannot be had leaves the rest. */
  async addEtcd(): Promise<void> {
    this.#context.note('etcd: status, nodes, ranges, blocks, rules, events of the last hour, keys');
    await Promise.all([...CLUSTER_FILES.map((each) => this.#addCommand(each)), this.#addKeys()]);
  }

  async #addCommand([name, command, work]: (typeof CLUSTER_FILES)[number]): Promise<void> {
    const { stdout, stderr, problem } = await capture(this.#context, work, FILE_DEADLINE_MS);
    const told = stderr === '' ? [] : [{ name: `${name}.stderr.txt`, content: this.#clean(stderr) }];
    this.#archive.add([{ name, content: this.#clean(stdout) }, ...told]);
    this.notes.push({ name, what: command, ...(problem !== undefined && { problem }) });
    if (name === 'cluster/nodes.json') this.#known = namesIn(stdout);
  }

  async #addKeys(): Promise<void> {
    const note = { name: 'cluster/keys.jsonl', what: "up to 2,000 of cellnet's keys, with their values" };
    try {
      this.#archive.add([{ name: note.name, content: this.#clean(await keys(this.#context)) }]);
      this.notes.push(note);
    } catch (error) {
      this.notes.push({ ...note, problem: messageOf(error) });
    }
  }

  addParts({ files, notes }: ClusterPart): void {
    if (files.length > 0) this.#archive.add(files);
    this.notes.push(...notes);
  }

  /** Each node of etcd and each with an agent's pod; without an API server, this machine. */
  async addNodes(
    { ask, nodes: withPod }: ClusterPart,
    wanted: readonly string[] | undefined,
    timeoutMs: number,
  ): Promise<void> {
    if (!ask) {
      for (const node of wanted ?? []) this.#lacks(node, 'no API server was asked: only this node is here');
      await this.addOwn();
      return;
    }
    const nodes = wanted ?? [...new Set([...this.#known, ...withPod])].sort();
    this.#context.note(`${plural(nodes.length, 'node')}: asking each by its agent's pod`);
    const endsAt = this.#context.world.monotonic() + timeoutMs;
    const waiting = [...nodes];
    let done = 0;
    const lane = async (): Promise<void> => {
      for (let node = waiting.shift(); node !== undefined; node = waiting.shift()) {
        await this.#addNode(node, ask, endsAt);
        this.#progress.update('nodes', ++done, nodes.length);
      }
    };
    await Promise.all(Array.from({ length: NODES_AT_ONCE }, lane));
    this.#progress.clear();
  }

  async #addNode(node: string, ask: AskNode, endsAt: number): Promise<void> {
    const leftMs = endsAt - this.#context.world.monotonic();
    const found = leftMs > 0 ? await ask(node, leftMs) : 'it was not asked: --timeout was over';
    if (typeof found === 'string') {
      if (this.#isThis(node)) await this.addOwn();
      else this.#lacks(node, found);
    } else this.#addFiles(node, found);
  }

  #isThis(node: string): boolean {
    const { settings, world } = this.#context;
    return node === (settings.node ?? world.hostname);
  }

  async addOwn(): Promise<void> {
    this.#context.note('this node: doctor, configuration, Open vSwitch, links, logs');
    const { node, files } = await ownPart(this.#context);
    this.#addFiles(node, files);
  }

  #addFiles(node: string, files: NodePart['files']): void {
    this.#archive.add(filesOfNode(node, files, this.secrets));
    this.notes.push(nodeNote(node, files.length));
  }

  #lacks(node: string, problem: string): void {
    this.#progress.clear();
    this.#context.warn(`${node}: ${problem}`);
    this.notes.push(nodeNote(node, 0, problem));
  }

  #clean(text: string): string {
    return redactText(text, this.secrets);
  }

  finish(): Uint8Array[] {
    const { world } = this.#context;
    this.notes.sort((a, b) => (a.name < b.name ? -1 : 1));
    const facts = { madeAt: world.now(), version: VERSION, by: operatorOf(world), parts: this.notes };
    return this.#archive.finish([{ name: 'README.txt', content: readmeText(facts) }]);
  }
}

/** The nodes of which etcd has a record. Output that was cut short names none. */
function namesIn(json: string): string[] {
  try {
    return (JSON.parse(json) as { readonly name: string }[]).map(({ name }) => name);
  } catch {
    return [];
  }
}
