import { CONTAINER_ID_FORM, IFNAME_FORM, isContainerId, isIfname } from '../../ipam/model/attachment.ts';
import { CniError } from './errors.ts';

/** CNI SPEC 1.1.0 section 2 "Parameters" (`CNI_COMMAND`). */
export const VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type Verb = (typeof VERBS)[number];

/**
 * The validated environment of a call. The attachment's fields may be empty for verbs that need no
 * attachment (GC, STATUS, VERSION).
 */
export interface Request {
  readonly verb: Verb;
  readonly containerId: string;
  readonly ifname: string;
  /** Path of the namespace; empty when the runtime passes none (DEL after a reboot). */
  readonly netns: string;
  readonly args: CniArgs;
  /** Directories in which the plugin searches for delegates, in order. */
  readonly path: readonly string[];
}

/** `CNI_ARGS`, as Kubernetes container runtimes pass it. */
export interface CniArgs {
  readonly podNamespace?: string;
  readonly podName?: string;
  readonly podUid?: string;
  /** The requested addresses, joined by commas. Like `mac`, not yet parsed. */
  readonly ip?: string;
  /** The requested MAC. */
  readonly mac?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

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
 * Checks the environment of the verb (CNI SPEC section 2). DEL accepts an absent CNI_NETNS.
 * @throws CniError 4, which names the variable, its value and the expected form
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
  if (!isContainerId(id)) throw wrongVariable('CNI_CONTAINERID', id, CONTAINER_ID_FORM);
}

function checkIfname(name: string): void {
  // Control characters would reach logs, and the kernel refuses only some of them. U+FFFD replaces
  // bytes that are not valid UTF-8.
  if (!isIfname(name) || /[\p{Cc}\p{Cf}\uFFFD]/u.test(name))
    throw wrongVariable('CNI_IFNAME', name, IFNAME_FORM);
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
/** Records and OVSDB rows contain these values, so only Kubernetes names and UIDs are allowed. */
const NAME_OR_UID = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,252}$/,
  expected: 'a name or UID of Kubernetes',
};
/** Checks the characters only. ADD, the only verb that uses the addresses, parses them in full. */
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

/**
 * Returns the pod of a call as `namespace/name`, with an empty string for a part that CNI_ARGS
 * lacks. Returns undefined when both parts are missing or CNI_ARGS is invalid.
 */
export function podOf(env: Environment): string | undefined {
  const { podNamespace = '', podName = '' } = parseArgsLeniently(env['CNI_ARGS'] ?? '');
  return podNamespace || podName ? `${podNamespace}/${podName}` : undefined;
}

/** Returns {} when CNI_ARGS is invalid: a DEL must not fail for lack of the pod's name. */
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
