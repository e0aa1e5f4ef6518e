import type { PartialSettings } from '../../ipam/settings/settings.ts';
import { Deadlines } from '../platform/deadlines.ts';
import type { CommonRecord } from '../platform/node-records.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { parseObject, readNetworkConfig } from '../protocol/config.ts';
import { CniError, toCniError } from '../protocol/errors.ts';
import type { Input, Output, Plugin } from '../protocol/invocation.ts';
import { memoize } from '../protocol/memoize.ts';
import { parseRequest, parseVerb } from '../protocol/request.ts';
import { renderResult, type CniResult } from '../protocol/result.ts';
import { checkSocketPaths, resolveSettings, sharedSettings, stateDirOf } from '../protocol/settings.ts';
import { checkVerbIn, LATEST, SUPPORTED_VERSIONS } from '../protocol/version.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { del } from './del.ts';
import { gc } from './gc.ts';
import { ipamAdd, ipamCheck, ipamDel } from './ipam-verbs.ts';
import { ipamStatus, status } from './status.ts';
import { takeTurn } from './turn.ts';

const readConfig = memoize(readNetworkConfig);

type VerbFunction = (call: Call, platform: Platform) => Promise<CniResult | undefined>;

/** Adapts a verb with an empty reply. */
const silent =
  (verb: (call: Call, platform: Platform) => Promise<void>): VerbFunction =>
  async (call, platform) => {
    await verb(call, platform);
    return undefined;
  };

const VERBS_OF: Readonly<
  Record<Plugin, Readonly<Record<Exclude<Call['request']['verb'], 'VERSION'>, VerbFunction>>>
> = {
  cellnet: {
    ADD: add,
    DEL: silent(del),
    CHECK: silent(check),
    GC: silent((call, platform) => gc(call, platform, 'cellnet')),
    STATUS: silent(status),
  },
  'cellnet-ipam': {
    ADD: ipamAdd,
    DEL: silent(ipamDel),
    CHECK: silent(ipamCheck),
    GC: silent((call, platform) => gc(call, platform, 'cellnet-ipam')),
    STATUS: silent(ipamStatus),
  },
};

/**
 * Longest time that a call spends on its servers once it has its turn, in milliseconds: one use of
 * etcd and one of Open vSwitch that both take their whole deadline. An ADD uses them more often.
 * GC's work grows with the node's attachments; only its single uses have a deadline.
 */
const WITHIN_MS: Readonly<Record<Exclude<Call['request']['verb'], 'VERSION'>, number>> = {
  ADD: 20_000,
  DEL: 10_000,
  CHECK: 10_000,
  STATUS: 10_000,
  GC: Infinity,
};

/** Serves one call of a plugin. Never throws, and acts on the outside only through the platform. */
export async function dispatch(
  plugin: Plugin,
  input: Input,
  platform: () => Promise<Platform>,
): Promise<Output> {
  try {
    if (parseVerb(input.env) === 'VERSION') return { stdout: `${versionReply(input.stdin)}\n`, exitCode: 0 };
    const result = await serve(plugin, input, await platform());
    return { stdout: result && `${result}\n`, exitCode: 0 };
  } catch (error) {
    return failure(input.stdin, error);
  }
}

/**
 * Returns the reply for any failure.
 * @param stdin as much as could be read; the reply uses its cniVersion
 */
export function failure(stdin: string, error: unknown): Output {
  return { stdout: `${errorReply(stdin, toCniError(error))}\n`, exitCode: 1 };
}

async function serve(plugin: Plugin, input: Input, platform: Platform): Promise<string> {
  const request = parseRequest(input.env);
  const { config, complaint } = readConfig(input.stdin, plugin, request.verb);
  checkVerbIn(request.verb, config.cniVersion);
  const stateDir = stateDirOf(input.env);
  const record = recordFor(platform, stateDir, request);
  const recorded = request.verb === 'DEL' && record ? recordedSettings(record) : {};
  const file = readSharedSettings(input, platform, recorded.settings !== undefined);
  if (complaint) {
    const { containerId, ifname } = request;
    platform.log.warn('the configuration is wrong: DEL goes on without that key', {
      containerId,
      ifname,
      reason: complaint.message,
      recorded: recorded.settings !== undefined,
    });
  }
  const resolved = resolveSettings(config, input.env, file, platform.hostname, recorded.settings);
  if (request.verb !== 'DEL') checkSocketPaths(resolved);
  // The node may have been renamed since. The addresses are in the blocks of its former name.
  const settings = { ...resolved, node: record?.node ?? resolved.node };
  const call: Call = {
    request,
    config: { ...config, ipamType: config.ipamType ?? recorded.ipamType },
    settings,
    stdin: input.stdin,
  };
  if (request.verb === 'VERSION')
    throw new CniError('internal', 'VERSION is answered without a configuration');
  const turn = await takeTurn(call, platform, plugin, input.agentHangs === true);
  if (turn === 'deferred') return '';
  try {
    // The wait for another call's end does not count.
    const deadlines = new Deadlines(platform.monotonic, WITHIN_MS[request.verb]);
    const result = await VERBS_OF[plugin][request.verb](call, { ...platform, deadlines });
    return result ? renderResult(config.cniVersion, result) : '';
  } finally {
    turn.unlock();
  }
}

/** @param recorded whether the ADD's record has all settings: DEL then ignores a broken file */
function readSharedSettings({ sharedConfig }: Input, platform: Platform, recorded: boolean): PartialSettings {
  try {
    return sharedSettings(sharedConfig);
  } catch (error) {
    if (!recorded) throw error;
    platform.log.warn('the shared file is wrong: DEL goes on by what the ADD used', {
      reason: toCniError(error).message,
    });
    return {};
  }
}

/** Returns what the node has recorded of the call's attachment: its ADD, or a deferred teardown. */
function recordFor(platform: Platform, stateDir: string, request: Call['request']): CommonRecord | undefined {
  if (!['ADD', 'DEL', 'CHECK'].includes(request.verb)) return undefined;
  const state = platform.openState(stateDir);
  const record = state.readAttachment(request);
  return record ?? (request.verb === 'DEL' ? state.readPending(request) : undefined);
}

/** Returns the settings that the ADD of the attachment used. */
function recordedSettings(record: CommonRecord): {
  settings?: PartialSettings;
  ipamType?: string | undefined;
} {
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

/** CNI SPEC section 5 "Error", in the configuration's version, or the latest if unreadable. */
function errorReply(stdin: string, error: CniError): string {
  return JSON.stringify({
    cniVersion: versionOf(stdin),
    code: error.code,
    msg: bounded(error.message),
    ...(error.details && { details: bounded(error.details) }),
  });
}

/**
 * Longest error text, in characters. Runtimes copy the text into events and logs, and a hostile or
 * endless value in it must not flood them.
 */
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
