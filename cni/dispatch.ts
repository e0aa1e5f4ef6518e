import { parseSharedConfig, type PartialSettings } from '../ipam/settings.ts';
import { add } from './add.ts';
import type { Call } from './call.ts';
import { check } from './check.ts';
import { parseObject, readNetworkConfig, resolveSettings } from './config.ts';
import { del } from './del.ts';
import { CniError, toCniError } from './errors.ts';
import { gc } from './gc.ts';
import { ipamAdd, ipamCheck, ipamDel } from './ipam-verbs.ts';
import type { Parts } from './parts.ts';
import { parseRequest, parseVerb, type Environment } from './request.ts';
import { renderResult, type CniResult } from './result.ts';
import { ipamStatus, status } from './status.ts';
import { checkVerbIn, LATEST, SUPPORTED_VERSIONS } from './version.ts';

/** The two plugins are the same program with different verbs. */
export type Plugin = 'cellnet' | 'cellnet-ipam';

/** What a plugin process gets, and what it must answer: CNI SPEC section 2 and 5. */
export interface Input {
  readonly env: Environment;
  readonly stdin: string;
  /** Content of the shared configuration file and its path; undefined where there is none. */
  readonly sharedConfig: { readonly content: string; readonly file: string } | undefined;
}

export interface Output {
  /** One JSON object on a line, or nothing. */
  readonly stdout: string;
  readonly exitCode: 0 | 1;
}

type VerbFunction = (call: Call, parts: Parts) => Promise<CniResult | undefined>;

/** A verb whose reply is empty. */
const silent =
  (verb: (call: Call, parts: Parts) => Promise<void>): VerbFunction =>
  async (call, parts) => {
    await verb(call, parts);
    return undefined;
  };

const VERBS_OF: Readonly<
  Record<Plugin, Readonly<Record<Exclude<Call['request']['verb'], 'VERSION'>, VerbFunction>>>
> = {
  cellnet: {
    ADD: add,
    DEL: silent(del),
    CHECK: silent(check),
    GC: silent((call, parts) => gc(call, parts, 'cellnet')),
    STATUS: silent(status),
  },
  'cellnet-ipam': {
    ADD: ipamAdd,
    DEL: silent(ipamDel),
    CHECK: silent(ipamCheck),
    GC: silent((call, parts) => gc(call, parts, 'cellnet-ipam')),
    STATUS: silent(ipamStatus),
  },
};

/** One call of a plugin, as a function: never throws, and touches nothing but its parts. */
export async function dispatch(plugin: Plugin, input: Input, parts: () => Promise<Parts>): Promise<Output> {
  try {
    if (parseVerb(input.env) === 'VERSION') return { stdout: `${versionReply(input.stdin)}\n`, exitCode: 0 };
    const result = await serve(plugin, input, await parts());
    return { stdout: result && `${result}\n`, exitCode: 0 };
  } catch (error) {
    return { stdout: `${errorReply(input.stdin, toCniError(error))}\n`, exitCode: 1 };
  }
}

async function serve(plugin: Plugin, input: Input, parts: Parts): Promise<string> {
  const request = parseRequest(input.env);
  const { config, complaint } = readNetworkConfig(input.stdin, plugin, request.verb);
  checkVerbIn(request.verb, config.cniVersion);
  const file = input.sharedConfig
    ? parseSharedConfig(input.sharedConfig.content, input.sharedConfig.file)
    : {};
  const stateDir = resolveSettings(config, input.env, file, parts.hostname).stateDir;
  const recorded = request.verb === 'DEL' ? recordedSettings(parts, stateDir, request) : {};
  if (complaint) {
    const { containerId, ifname } = request;
    parts.log.warn('the configuration is wrong: DEL goes on without that key', {
      containerId,
      ifname,
      reason: complaint.message,
      recorded: recorded.settings !== undefined,
    });
  }
  const settings = resolveSettings(config, input.env, file, parts.hostname, recorded.settings);
  const call: Call = {
    request,
    config: { ...config, ipamType: config.ipamType ?? recorded.ipamType },
    settings,
    stdin: input.stdin,
  };
  if (request.verb === 'VERSION')
    throw new CniError('internal', 'VERSION is answered without a configuration');
  const result = await VERBS_OF[plugin][request.verb](call, parts);
  return result ? renderResult(config.cniVersion, result) : '';
}

/** What the ADD of the attachment used, where its record is still there. */
function recordedSettings(
  parts: Parts,
  stateDir: string,
  request: Call['request'],
): { settings?: PartialSettings; ipamType?: string | undefined } {
  const record = parts.openState(stateDir).readAttachment(request);
  if (!record) return {};
  const { etcd, node, bridge, ovsdb, ovsdbTls, ipamType } = record;
  return {
    settings: { etcd, node, bridge, ovsdb, ovsdbTls, agent: undefined, kubeconfig: undefined },
    ipamType,
  };
}

/** CNI SPEC section 5 "Version": needs no configuration. */
function versionReply(stdin: string): string {
  return JSON.stringify({ cniVersion: versionOf(stdin), supportedVersions: SUPPORTED_VERSIONS });
}

/** CNI SPEC section 5 "Error", in the version of the configuration as far as it can be read. */
function errorReply(stdin: string, error: CniError): string {
  return JSON.stringify({
    cniVersion: versionOf(stdin),
    code: error.code,
    msg: bounded(error.message),
    ...(error.details && { details: bounded(error.details) }),
  });
}

/** Runtimes put the text into events and logs: a hostile or endless value in it must not flood them. */
const MAX_TEXT = 3_000;

function bounded(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
}

function versionOf(stdin: string): string {
  try {
    const version = parseObject(stdin)['cniVersion'];
    return typeof version === 'string' ? version : LATEST;
  } catch {
    return LATEST;
  }
}
