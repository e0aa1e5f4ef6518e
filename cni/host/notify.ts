import { constants } from 'node:fs';
import { closeSocket, openSocket, sendTo } from '../netlink/libc.ts';
import type { Environment } from '../protocol/request.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = constants.O_NONBLOCK;

/** A service manager that wants to know how this process is: sd_notify(3). */
export interface ServiceManager {
  /** Sends a state, such as `READY=1`. @throws NetlinkError when it does not get through */
  tell(state: string): void;
  /** It kills this process after so many milliseconds without `WATCHDOG=1`; undefined: never. */
  readonly watchdogMs: number | undefined;
}

/** Returns undefined when no service manager asks for news of this process. */
export function serviceManager(env: Environment): ServiceManager | undefined {
  const path = env['NOTIFY_SOCKET'];
  if (!path) return undefined;
  const address = addressOf(path);
  return {
    tell: (state) => {
      const fd = openSocket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, 'open the socket of the service manager');
      try {
        sendTo(fd, Buffer.from(state), address, `tell the service manager at ${path}`);
      } finally {
        closeSocket(fd);
      }
    },
    watchdogMs: watchdogOf(env),
  };
}

/** Returns a struct sockaddr_un of unix(7). A name that begins with `@` is abstract. */
function addressOf(path: string): Buffer {
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`)]);
}

/** sd_watchdog_enabled(3): the variables may be meant for another process. */
function watchdogOf(env: Environment): number | undefined {
  const [us, pid] = [Number(env['WATCHDOG_USEC']), env['WATCHDOG_PID']];
  if (!Number.isInteger(us) || us <= 0 || (pid && Number(pid) !== process.pid)) return undefined;
  return us / 1000;
}
