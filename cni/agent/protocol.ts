/**
 * The protocol of the agent's socket: one request and one reply for each connection. Numbers are
 * little-endian.
 *
 *     request   "cellnet1"  u32 bytes of environment  u32 bytes of input   environment  input
 *     reply     "cellnet1"  u32 exit status           u32 bytes of output  output
 *
 * The environment is the plugin's name, then each `KEY=VALUE`, each terminated by NUL. The launcher
 * (cni/launcher/) implements the same protocol: change both.
 */
import type { Output, Plugin } from '../protocol/invocation.ts';
import type { Environment } from '../protocol/request.ts';

/**
 * The variable by which a plugin tells its version. The launcher sets it too. Releases before 0.2.0
 * do not.
 */
export const PLUGIN_VERSION = 'CELLNET_PLUGIN_VERSION';

const MAGIC = Buffer.from('cellnet1', 'latin1');
export const HEADER_BYTES = 16;
export const MAX_ENVIRONMENT_BYTES = 1 << 20;
export const MAX_INPUT_BYTES = 4 << 20;
export const MAX_OUTPUT_BYTES = 4 << 20;

export interface AgentRequest {
  readonly plugin: Plugin;
  readonly env: Environment;
  readonly stdin: string;
}

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

function header(first: number, second: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(first, 8);
  bytes.writeUInt32LE(second, 12);
  return bytes;
}

/**
 * Returns both numbers, or undefined while the header is incomplete.
 * @throws ProtocolError for a frame of another protocol or version
 */
function readHeader(bytes: Buffer): readonly [number, number] | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new ProtocolError('no frame of version cellnet1');
  return [bytes.readUInt32LE(8), bytes.readUInt32LE(12)];
}

export function encodeRequest({ plugin, env, stdin }: AgentRequest): Buffer {
  const variables = Object.entries(env).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${value}`],
  );
  const environment = Buffer.from([plugin, ...variables].map((text) => `${text}\0`).join(''));
  const input = Buffer.from(stdin);
  return Buffer.concat([header(environment.length, input.length), environment, input]);
}

/**
 * Returns the request, or undefined while it is incomplete.
 * @throws ProtocolError for a foreign frame, an over-long request, or an unknown plugin
 */
export function decodeRequest(bytes: Buffer): AgentRequest | undefined {
  const lengths = readHeader(bytes);
  if (!lengths) return undefined;
  const [environmentBytes, inputBytes] = lengths;
  if (environmentBytes > MAX_ENVIRONMENT_BYTES || inputBytes > MAX_INPUT_BYTES)
    throw new ProtocolError(`a request of ${environmentBytes} and ${inputBytes} bytes: that is too long`);
  const end = HEADER_BYTES + environmentBytes + inputBytes;
  if (bytes.length < end) return undefined;
  const [plugin, ...variables] = bytes
    .toString('utf8', HEADER_BYTES, HEADER_BYTES + environmentBytes)
    .split('\0');
  if (plugin !== 'cellnet' && plugin !== 'cellnet-ipam')
    throw new ProtocolError(`plugin ${JSON.stringify(plugin)}: expected cellnet or cellnet-ipam`);
  const env = variables.filter(Boolean).map((text) => {
    const at = text.indexOf('=');
    return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  });
  return {
    plugin,
    env: Object.fromEntries(env) as Environment,
    stdin: bytes.toString('utf8', HEADER_BYTES + environmentBytes, end),
  };
}

export function encodeReply({ stdout, exitCode }: Output): Buffer {
  const output = Buffer.from(stdout);
  return Buffer.concat([header(exitCode, output.length), output]);
}

/**
 * Returns the reply, or undefined while it is incomplete.
 * @throws ProtocolError for a foreign frame or an over-long reply
 */
export function decodeReply(bytes: Buffer): Output | undefined {
  const numbers = readHeader(bytes);
  if (!numbers) return undefined;
  const [exitCode, outputBytes] = numbers;
  if (outputBytes > MAX_OUTPUT_BYTES)
    throw new ProtocolError(`a reply of ${outputBytes} bytes: expected at most ${MAX_OUTPUT_BYTES}`);
  if (bytes.length < HEADER_BYTES + outputBytes) return undefined;
  return {
    stdout: bytes.toString('utf8', HEADER_BYTES, HEADER_BYTES + outputBytes),
    exitCode: exitCode === 0 ? 0 : 1,
  };
}
