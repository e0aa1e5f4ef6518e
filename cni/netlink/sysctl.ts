import { readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { hasCode } from '../../ipam/model/errors.ts';
import { errnoOf, NetlinkError } from './errors.ts';

/** Per-interface settings of the kernel's Documentation/networking/ip-sysctl.rst. */
export type InterfaceSetting =
  `ipv4/arp_notify` | `ipv6/${'disable_ipv6' | 'ndisc_notify' | 'accept_dad' | 'accept_ra' | 'autoconf'}`;

const settingPath = (link: string, setting: InterfaceSetting): string =>
  `/proc/sys/net/${setting.replace('/', `/conf/${link}/`)}`;

/** The codes of a write where /proc/sys is read-only, as in a container without privileges. */
const UNWRITABLE = ['EROFS', 'EACCES', 'EPERM'];

/**
 * Writes one setting synchronously, for use inside inNamespace. Where /proc/sys is read-only, a
 * setting that has the value already counts as written. The link must exist: this function trusts
 * its name as part of a path.
 * Equivalent to: sysctl -w net.ipv4.conf.LINK.arp_notify=1
 * @throws NetlinkError ENOENT when the kernel runs without that protocol, EROFS when /proc/sys is
 *   read-only
 */
export const writeSetting = (link: string, setting: InterfaceSetting, value: number): void => {
  try {
    writeFileSync(settingPath(link, setting), `${value}\n`, { flag: 'r+' });
  } catch (cause) {
    const errno = errnoOf(cause) ?? constants.errno.EIO;
    const found = hasCode(cause, ...UNWRITABLE) ? readSetting(link, setting) : undefined;
    if (found === value) return;
    throw new NetlinkError(errno, `set ${setting} of ${link} to ${value}`, {
      cause,
      ...(found !== undefined && { explanation: `it is ${found}, and /proc/sys cannot be written` }),
    });
  }
};

/**
 * Switches IPv6 off on the link. Does nothing on a kernel without IPv6. Returns false where it
 * cannot: the caller then sets `linkLocal` to false by netlink, so that the link at least sends
 * nothing of its own accord.
 */
export const disableIpv6 = (link: string): boolean => {
  try {
    writeSetting(link, 'ipv6/disable_ipv6', 1);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    if (hasCode(error, ...UNWRITABLE)) return false;
    throw error;
  }
};

/** Returns the value as a number. Throws the errors of `readFileSync`. */
export const readSetting = (link: string, setting: InterfaceSetting): number =>
  Number(readFileSync(settingPath(link, setting), 'utf8'));
