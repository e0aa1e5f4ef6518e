import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { readRegularFile } from '../../ipam/files/regular-file.ts';
import { hasCode, messageOf } from '../../ipam/model/errors.ts';
import { OvsdbError } from './errors.ts';

export interface UnixctlOptions {
  /** Longest wait for the whole answer, in milliseconds. */
  readonly deadlineMs?: number;
  /** Longest accepted answer, in bytes. */
  readonly maxBytes?: number;
}

const DEADLINE_MS = 10_000;
/** 100,000 connections of connection tracking take about 20 MB. */
const MAX_BYTES = 64 * 1024 * 1024;

const AWAY = 'Check that ovs-vswitchd runs: systemctl status openvswitch-switch.';
const DENIED = 'Run it as root: the socket is for root only. As root, look at SELinux and AppArmor.';

/**
 * Returns the path of the socket by which ovs-vswitchd takes commands, beside that of the database:
 * `ovs-vswitchd.PID.ctl`, where `ovs-vswitchd.pid` names the PID; else the only one of such a name.
 * @param ovsdb remote of the database, `unix:/PATH`
 * @throws OvsdbError `unreachable` where there is none, or several and no PID
 */
export function findVswitchdSocket(ovsdb: string): string {
  if (!ovsdb.startsWith('unix:/')) {
    const why = `Open vSwitch at ${ovsdb} is not on this node`;
    throw new OvsdbError('unreachable', `ovs-vswitchd cannot be asked: ${why}`);
  }
  const folder = dirname(ovsdb.slice('unix:'.length));
  const pid = readPid(join(folder, 'ovs-vswitchd.pid'));
  if (pid !== undefined) return join(folder, `ovs-vswitchd.${pid}.ctl`);
  const [only, ...more] = namesIn(folder).filter((name) => /^ovs-vswitchd\b.*\.ctl$/.test(name));
  if (only !== undefined && more.length === 0) return join(folder, only);
  const what = only === undefined ? 'has no socket of it' : 'has several sockets of it and no PID file';
  throw new OvsdbError('unreachable', `ovs-vswitchd cannot be asked: ${folder} ${what}`, { remedy: AWAY });
}

function readPid(file: string): string | undefined {
  try {
    return /^\d+$/.exec(readRegularFile(file).toString('utf8').trim())?.[0];
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM')) throw unreachable(file, error);
    return undefined;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw unreachable(folder, error);
  }
}

/**
 * Has ovs-vswitchd carry out one command, and returns its answer: JSON-RPC 1.0 over a unix socket.
 * Equivalent to: ovs-appctl -t SOCKET METHOD PARAMS…
 * @throws OvsdbError `unreachable`, `timeout`, `connection-lost`, `protocol` for too long an
 *   answer; `refused` with the daemon's own text
 */
export function callUnixctl(
  socketPath: string,
  method: string,
  params: readonly string[],
  { deadlineMs = DEADLINE_MS, maxBytes = MAX_BYTES }: UnixctlOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    const socket = connect(socketPath);
    const end = (finish: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      finish();
    };
    const fail = (error: OvsdbError): void => end(() => reject(error));
    const timer = setTimeout(
      () =>
        fail(new OvsdbError('timeout', `ovs-vswitchd gave no answer to ${method} within ${deadlineMs} ms`)),
      deadlineMs,
    );
    socket.once('error', (error) => fail(unreachable(socketPath, error)));
    socket.once('connect', () => socket.write(JSON.stringify({ id: 0, method, params })));
    socket.once('close', () =>
      fail(
        new OvsdbError('connection-lost', `ovs-vswitchd ended the connection before its answer to ${method}`),
      ),
    );
    socket.on('data', (chunk) => {
      parts.push(chunk);
      bytes += chunk.length;
      if (bytes > maxBytes)
        fail(
          new OvsdbError('protocol', `ovs-vswitchd's answer to ${method} has more than ${maxBytes} bytes`),
        );
      // Only the end of an answer is a brace at the end of a chunk that makes the whole valid JSON.
      else if (chunk.at(-1) === BRACE || chunk.at(-1) === NEWLINE) {
        const reply = parse(Buffer.concat(parts).toString('utf8'));
        if (reply) end(() => settle(reply, method, resolve, reject));
      }
    });
  });
}

const BRACE = 0x7d;
const NEWLINE = 0x0a;

interface Reply {
  readonly result?: unknown;
  readonly error?: unknown;
}

function parse(text: string): Reply | undefined {
  try {
    return JSON.parse(text) as Reply;
  } catch {
    return undefined;
  }
}

function settle(
  { result, error }: Reply,
  method: string,
  resolve: (answer: string) => void,
  reject: (error: OvsdbError) => void,
): void {
  if (typeof result === 'string') resolve(result);
  else {
    const reason = typeof error === 'string' ? error.trim() : 'the answer is no text';
    reject(new OvsdbError('refused', `ovs-vswitchd refused ${method}: ${reason}`, { refused: true }));
  }
}

const unreachable = (path: string, cause: unknown): OvsdbError =>
  new OvsdbError('unreachable', `ovs-vswitchd cannot be asked at ${path}: ${messageOf(cause)}`, {
    cause,
    remedy: hasCode(cause, 'EACCES', 'EPERM') ? DENIED : AWAY,
  });
