import { arch, release as kernel } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { messageOf } from '../../ipam/model/errors.ts';
import { BLOCKS, NODES, RANGES } from '../../ipam/records/keys.ts';
import { DEFAULT_AGENT } from '../../ipam/settings/settings.ts';
import { VERSION } from '../../ipam/settings/version.ts';
import { readAgain, type Store } from '../../ipam/store/store.ts';
import type { Context } from '../context/context.ts';
import type { Finding } from './finding.ts';
import type { NodePaths } from './node.ts';
import { redactJson, redactText } from './redact.ts';
import { makeTar, type TarEntry } from './tar.ts';

/** Highest number of keys. Ranges come first. */
const MAX_KEYS = 2_000;
/** Length of a log's tail, in characters. */
const LOG_TAIL = 200_000;
const COMMANDS: readonly (readonly [name: string, argv: readonly string[]])[] = [
  ['ovs-show.txt', ['ovs-vsctl', '--timeout=5', 'show']],
  ['ovs-bridges.txt', ['ovs-vsctl', '--timeout=5', 'list', 'Bridge']],
  ['links.txt', ['ip', '-details', '-statistics', 'link']],
  ['addresses.txt', ['ip', 'address']],
  ['routes.txt', ['ip', 'route']],
  ['agent-log.txt', ['journalctl', '-u', 'cellnetd', '-n', '1000', '--no-pager']],
];

/** A file of the archive. When `gather` throws, the file has the error instead. */
type Part = readonly [name: string, gather: () => string | Promise<string>];

/**
 * Makes the support archive: the findings, our configuration, some of our keys, Open vSwitch,
 * links, the end of the logs, versions. It reads no file for the archive that holds a credential,
 * and redacts everything that looks like one.
 */
export async function makeBundle(
  context: Context,
  findings: readonly Finding[],
  paths: NodePaths,
): Promise<Uint8Array> {
  const entries = await nodeFiles(context, findings, paths, [['keys.jsonl', () => keys(context)]]);
  const named = entries.map(({ name, content }) => ({ name: join('cellnet-support', name), content }));
  return gzipSync(makeTar(named, context.world.now()));
}

/**
 * Returns the files about this node, without secrets.
 * @param more further files
 */
export async function nodeFiles(
  context: Context,
  findings: readonly Finding[],
  paths: NodePaths,
  more: readonly Part[] = [],
): Promise<TarEntry[]> {
  const secrets = secretsOf(context);
  const parts: Part[] = [
    ['doctor.json', () => json(findings)],
    ['versions.json', () => json({ cnictl: VERSION, node: process.version, kernel: kernel(), arch: arch() })],
    ['settings.json', () => json(redactJson(context.settings, secrets))],
    ['config.json', () => configuration(context, secrets)],
    ['networks.json', () => networks(context, paths, secrets)],
    ['pending.json', () => json(context.world.files.list(join(paths.stateDir, 'pending')))],
    ...more,
    ['plugin-log.txt', () => pluginLog(context)],
    ['agent-recent.jsonl', () => agentLog(context)],
    ...COMMANDS.map(([name, argv]): Part => [name, async () => (await context.world.exec(argv)).output]),
  ];
  return await Promise.all(parts.map((part) => entryOf(part, secrets)));
}

async function entryOf([name, gather]: Part, secrets: readonly string[]): Promise<TarEntry> {
  try {
    return { name, content: redactText(await gather(), secrets) };
  } catch (error) {
    return { name, content: redactText(`${NOT_HAD}${messageOf(error)}\n`, secrets) };
  }
}

/** Begins the content of a file that could not be gathered. */
export const NOT_HAD = 'could not be had: ';

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Reads the contents of our secret files, which must be redacted everywhere. */
export function secretsOf({ settings, world }: Context): string[] {
  const { passwordFile, keyFile } = settings.etcd ?? {};
  return [passwordFile, keyFile, settings.ovsdbTls?.keyFile].flatMap((file) => {
    try {
      const secret = file === undefined ? undefined : world.readFile(file)?.trim();
      return secret ? [secret] : [];
    } catch {
      // An unreadable secret cannot have reached another file either.
      return [];
    }
  });
}

function configuration({ world, configFile: file }: Context, secrets: readonly string[]): string {
  const content = world.readFile(file);
  return content === undefined ? `${file} does not exist\n` : json(redactJson(JSON.parse(content), secrets));
}

/** Includes every network of the runtime, because another network may interfere. */
function networks({ world }: Context, { confDir }: NodePaths, secrets: readonly string[]): string {
  const read = (name: string): unknown => {
    const text = world.files.read(join(confDir, name)) ?? '';
    try {
      return redactJson(JSON.parse(text), secrets);
    } catch {
      // Without JSON, nothing tells which words are secrets.
      return `${text.length} characters that are no JSON`;
    }
  };
  const names = world.files.list(confDir).filter((name) => world.files.kind(join(confDir, name)) === 'file');
  return json(Object.fromEntries(names.map((name) => [name, read(name)])));
}

/** Returns records of known kinds unchanged, and only the names of other keys. */
export function keys(context: Context): Promise<string> {
  return context.withIpam(({ store }) => readAgain(() => keysOnce(store)));
}

async function keysOnce(store: Store): Promise<string> {
  const lines: string[] = [];
  for (const group of [RANGES, NODES, BLOCKS, '']) {
    for await (const page of store.scan(group, { keysOnly: group === '' })) {
      for (const { key, value } of page) {
        if (group === '' && [RANGES, NODES, BLOCKS].some((known) => key.startsWith(known))) continue;
        if (lines.length >= MAX_KEYS) return `${lines.join('\n')}\n… no more than ${MAX_KEYS} keys\n`;
        lines.push(JSON.stringify(group === '' ? { key } : { key, value }));
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Where the agent runs in a container, the journal has nothing of it. */
async function agentLog({ world, settings }: Context): Promise<string> {
  const socket = settings.agent ?? DEFAULT_AGENT;
  const lines = socket === false ? undefined : await world.agentLog(socket);
  return lines ?? 'the agent does not give its newest lines: see agent-log.txt, or kubectl logs\n';
}

function pluginLog({ world }: Context): string {
  const file = world.env['CELLNET_LOG_FILE'];
  if (!file) return 'CELLNET_LOG_FILE is not set: the plugin logs to the runtime\n';
  const text = world.readFile(file);
  if (text === undefined) return `${file} does not exist in ${dirname(file)}\n`;
  // Starts at a whole line: a secret cut in two would not be recognised.
  return text.length <= LOG_TAIL ? text : text.slice(text.indexOf('\n', text.length - LOG_TAIL) + 1);
}
