import { arch, release as kernel } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { messageOf } from '../../ipam/model/errors.ts';
import { BLOCKS, NODES, RANGES } from '../../ipam/records/keys.ts';
import { VERSION } from '../../ipam/settings/version.ts';
import type { Context } from '../context/context.ts';
import type { Finding } from './finding.ts';
import type { NodePaths } from './node.ts';
import { redactJson, redactText } from './redact.ts';
import { makeTar, type TarEntry } from './tar.ts';

/** No more keys than this, the ranges first. */
const MAX_KEYS = 2_000;
/** The end of a log, in characters. */
const LOG_TAIL = 200_000;
const COMMANDS: readonly (readonly [name: string, argv: readonly string[]])[] = [
  ['ovs-show.txt', ['ovs-vsctl', '--timeout=5', 'show']],
  ['ovs-bridges.txt', ['ovs-vsctl', '--timeout=5', 'list', 'Bridge']],
  ['links.txt', ['ip', '-details', '-statistics', 'link']],
  ['addresses.txt', ['ip', 'address']],
  ['routes.txt', ['ip', 'route']],
  ['agent-log.txt', ['journalctl', '-u', 'cellnetd', '-n', '1000', '--no-pager']],
];

/** What one part of the archive is made of; what it throws is told in its place. */
type Part = readonly [name: string, gather: () => string | Promise<string>];

/**
 * The support archive: what the doctor found, our configuration, some of our keys, Open vSwitch, links, the end of the logs, versions.
 * No file that holds a credential is read into it, and what looks like one is taken out of all that is.
 */
export async function makeBundle(
  context: Context,
  findings: readonly Finding[],
  paths: NodePaths,
): Promise<Uint8Array> {
  const secrets = secretsOf(context);
  const parts: Part[] = [
    ['doctor.json', () => json(findings)],
    ['versions.json', () => json({ cnictl: VERSION, node: process.version, kernel: kernel(), arch: arch() })],
    ['settings.json', () => json(redactJson(context.settings, secrets))],
    ['config.json', () => configuration(context, secrets)],
    ['networks.json', () => networks(context, paths, secrets)],
    ['pending.json', () => json(context.world.files.list(join(paths.stateDir, 'pending')))],
    ['keys.jsonl', () => keys(context)],
    ['plugin-log.txt', () => pluginLog(context)],
    ...COMMANDS.map(([name, argv]): Part => [name, async () => (await context.world.exec(argv)).output]),
  ];
  const entries = await Promise.all(parts.map((part) => entryOf(part, secrets)));
  return gzipSync(makeTar(entries, context.world.now()));
}

async function entryOf([name, gather]: Part, secrets: readonly string[]): Promise<TarEntry> {
  const at = join('cellnet-support', name);
  try {
    return { name: at, content: redactText(await gather(), secrets) };
  } catch (error) {
    return { name: at, content: redactText(`could not be had: ${messageOf(error)}\n`, secrets) };
  }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Contents of the files that hold secrets of ours: to be taken out wherever they stand. */
function secretsOf({ settings, world }: Context): string[] {
  const { passwordFile, keyFile } = settings.etcd ?? {};
  return [passwordFile, keyFile, settings.ovsdbTls?.keyFile].flatMap((file) => {
    try {
      const secret = file === undefined ? undefined : world.readFile(file)?.trim();
      return secret ? [secret] : [];
    } catch {
      // What cannot be read cannot have come into anything else either.
      return [];
    }
  });
}

function configuration({ world, configFile: file }: Context, secrets: readonly string[]): string {
  const content = world.readFile(file);
  return content === undefined ? `${file} does not exist\n` : json(redactJson(JSON.parse(content), secrets));
}

/** Every network of the runtime, for one of another may stand in the way. */
function networks({ world }: Context, { confDir }: NodePaths, secrets: readonly string[]): string {
  const read = (name: string): unknown => {
    const text = world.files.read(join(confDir, name)) ?? '';
    try {
      return redactJson(JSON.parse(text), secrets);
    } catch {
      // Not JSON, so nothing tells which of its words are secrets.
      return `${text.length} characters that are no JSON`;
    }
  };
  const names = world.files.list(confDir).filter((name) => world.files.kind(join(confDir, name)) === 'file');
  return json(Object.fromEntries(names.map((name) => [name, read(name)])));
}

/** Records of kinds that we know, as they stand; of others the names alone. */
function keys(context: Context): Promise<string> {
  return context.withIpam(async (ipam) => {
    const lines: string[] = [];
    for (const group of [RANGES, NODES, BLOCKS, '']) {
      for await (const page of ipam.store.scan(group, { keysOnly: group === '' })) {
        for (const { key, value } of page) {
          if (group === '' && [RANGES, NODES, BLOCKS].some((known) => key.startsWith(known))) continue;
          if (lines.length >= MAX_KEYS) return `${lines.join('\n')}\n… no more than ${MAX_KEYS} keys\n`;
          lines.push(JSON.stringify(group === '' ? { key } : { key, value }));
        }
      }
    }
    return `${lines.join('\n')}\n`;
  });
}

function pluginLog({ world }: Context): string {
  const file = world.env['CELLNET_LOG_FILE'];
  if (!file) return 'CELLNET_LOG_FILE is not set: the plugin logs to the runtime\n';
  const text = world.readFile(file);
  if (text === undefined) return `${file} does not exist in ${dirname(file)}\n`;
  // From a whole line on: a secret that is cut in two would not be known as one.
  return text.length <= LOG_TAIL ? text : text.slice(text.indexOf('\n', text.length - LOG_TAIL) + 1);
}
