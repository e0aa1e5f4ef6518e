import { CniError } from './errors.ts';

/** CNI SPEC 1.1.0 section 2 "Parameters" (`CNI_COMMAND`). */
export const VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type Verb = (typeof VERBS)[number];

/** The environment of a call, checked. Verbs that need no attachment (GC, STATUS, VERSION) leave its fields empty. */
export interface Request {
  readonly verb: Verb;
  readonly containerId: string;
  readonly ifname: string;
  /** Path of the namespace; empty where the runtime gives none (DEL after a reboot). */
  readonly netns: string;
  readonly args: CniArgs;
  /** Folders in which delegates are looked for, in order. */
  readonly path: readonly string[];
}

/** `CNI_ARGS`, as kubelet passes it. */
export interface CniArgs {
  readonly podNamespace?: string;
  readonly podName?: string;
  readonly podUid?: string;
  /** Wished addresses, joined by commas, and the wished MAC: as they came. */
  readonly ip?: string;
  readonly mac?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const CONTAINER_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
const MAX_CONTAINER_ID = 255;
/** IFNAMSIZ of <linux/if.h> less its final NUL. */
const MAX_IFNAME_BYTES = 15;

export function parseVerb(env: Environment): Verb {
  const text = env['CNI_COMMAND'] ?? '';
  const verb = VERBS.find((each) => each === text);
  if (verb) return verb;
  throw wrongVariable('CNI_COMMAND', text, `one of ${VERBS.join(', ')}`);
}

const NEEDED: Readonly<Record<Verb, readonly string[]>> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH'],
  GC: ['CNI_PATH'],
  STATUS: ['CNI_PATH'],
  VERSION: [],
};

/**
 * Checks the environment of the verb (CNI SPEC section 2): an absent CNI_NETNS is no error of DEL.
 * @throws CniError 4 naming the variable, its value and what was expected
 */
export function parseRequest(env: Environment): Request {
  const verb = parseVerb(env);
  const missing = NEEDED[verb].filter((name) => !env[name]);
  if (missing.length > 0) {
    throw new CniError(
      'invalid-environment',
      `${verb} needs ${missing.join(', ')}, which the environment lacks`,
    );
  }
  const get = (name: string): string => env[name] ?? '';
  const request: Request = {
    verb,
    containerId: get('CNI_CONTAINERID'),
    ifname: get('CNI_IFNAME'),
    netns: get('CNI_NETNS'),
    args: verb === 'DEL' ? parseArgsLeniently(get('CNI_ARGS')) : parseArgs(get('CNI_ARGS')),
    path: get('CNI_PATH').split(':').filter(Boolean),
  };
  if (request.containerId) checkContainerId(request.containerId);
  if (request.ifname) checkIfname(request.ifname);
  return request;
}

function checkContainerId(id: string): void {
  if (CONTAINER_ID.test(id) && id.length <= MAX_CONTAINER_ID) return;
  throw wrongVariable(
    'CNI_CONTAINERID',
    id,
    `letters, digits, '_', '.', '-', beginning with a letter or digit`,
  );
}

function checkIfname(name: string): void {
  const bytes = Buffer.byteLength(name);
  // Control characters would reach logs, and the kernel refuses only some of them; U+FFFD stands for bytes that are no text.
  const clean = !/[/:\s\p{Cc}\p{Cf}\p{Cs}\uFFFD]/u.test(name) && name !== '.' && name !== '..';
  if (clean && bytes <= MAX_IFNAME_BYTES) return;
  throw wrongVariable(
    'CNI_IFNAME',
    name,
    `at most ${MAX_IFNAME_BYTES} bytes, not '.' or '..', without '/', ':' and space`,
  );
}

function wrongVariable(name: string, value: string, expected: string): CniError {
  const shown = value.length > 60 ? `${value.slice(0, 60)}…` : value;
  return new CniError('invalid-environment', `${name} is ${JSON.stringify(shown)}: expected ${expected}`);
}

const KNOWN_ARGS = {
  K8S_POD_NAMESPACE: 'podNamespace',
  K8S_POD_NAME: 'podName',
  K8S_POD_UID: 'podUid',
  IP: 'ip',
  MAC: 'mac',
} as const;
const IGNORED_ARGS = new Set(['IgnoreUnknown', 'K8S_POD_INFRA_CONTAINER_ID']);
/** What becomes part of a record and of an OVSDB row: names and UIDs of Kubernetes, nothing else. */
const NAME_OR_UID = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,252}$/,
  expected: 'a name or UID of Kubernetes',
};
/** Judged in full where they are used: of an ADD alone. */
const ADDRESSES = { pattern: /^[0-9A-Fa-f.:,/]{1,200}$/, expected: 'addresses joined by commas' };
const FORM_OF: Readonly<Record<string, { readonly pattern: RegExp; readonly expected: string }>> = {
  IP: ADDRESSES,
  MAC: { ...ADDRESSES, expected: 'a MAC' },
};

function isTrue(text: string | undefined): boolean {
  return text !== undefined && ['1', 't', 'true'].includes(text.toLowerCase());
}

function parseArgs(text: string): CniArgs {
  const pairs = text.split(';').filter(Boolean).map(parsePair);
  const ignoreUnknown = isTrue(pairs.find(([key]) => key === 'IgnoreUnknown')?.[1]);
  const args: { -readonly [K in keyof CniArgs]: CniArgs[K] } = {};
  for (const [key, value] of pairs) {
    if (Object.hasOwn(KNOWN_ARGS, key)) {
      if (value === '') continue;
      const { pattern, expected } = FORM_OF[key] ?? NAME_OR_UID;
      if (!pattern.test(value)) throw wrongVariable(`CNI_ARGS key ${key}`, value, expected);
      args[KNOWN_ARGS[key as keyof typeof KNOWN_ARGS]] = value;
    } else if (!ignoreUnknown && !IGNORED_ARGS.has(key)) {
      throw wrongVariable(
        'CNI_ARGS',
        key,
        `one of ${Object.keys(KNOWN_ARGS).join(', ')}, or IgnoreUnknown=1`,
      );
    }
  }
  return args;
}

/** The pod of a call as `namespace/name`, as far as its CNI_ARGS tell; undefined where they tell nothing. */
export function podOf(env: Environment): string | undefined {
  const { podNamespace = '', podName = '' } = parseArgsLeniently(env['CNI_ARGS'] ?? '');
  return podNamespace || podName ? `${podNamespace}/${podName}` : undefined;
}

/** Which pod it is only helps to find it: a DEL does not fail for that. */
function parseArgsLeniently(text: string): CniArgs {
  try {
    return parseArgs(text);
  } catch {
    return {};
  }
}

function parsePair(pair: string): readonly [string, string] {
  const at = pair.indexOf('=');
  if (at <= 0) throw wrongVariable('CNI_ARGS', pair, 'KEY=VALUE pairs joined by ;');
  return [pair.slice(0, at), pair.slice(at + 1)];
}
