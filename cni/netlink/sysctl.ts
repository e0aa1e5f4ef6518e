import { readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { errnoOf, NetlinkError } from './errors.ts';

/** Per-interface settings of the kernel's Documentation/networking/ip-sysctl.rst. */
export type InterfaceSetting =
  `ipv4/arp_notify` | `ipv6/${'disable_ipv6' | 'ndisc_notify' | 'accept_dad' | 'accept_ra' | 'autoconf'}`;

const settingPath = (link: string, setting: InterfaceSetting): string =>
  `/proc/sys/net/${setting.replace('/', `/conf/${link}/`)}`;

/**
 * Writes one setting synchronously, for use inside inNamespace. The link must exist: this function
 * trusts its name as part of a path.
 * Equivalent to: sysctl -w net.ipv4.conf.LINK.arp_notify=1
 * @throws NetlinkError ENOENT when the kernel runs without that protocol, EROFS when /proc/sys is
 *   read-only
 */
export const writeSetting = (link: string, setting: InterfaceSetting, value: number): void => {
  try {
    writeFileSync(settingPath(link, setting), `${value}\n`, { flag: 'r+' });
  } catch (cause) {
    const errno = errnoOf(cause) ?? constants.errno.EIO;
    throw new NetlinkError(errno, `set ${setting} of ${link} to ${value}`, { cause });
  }
};

/** Switches IPv6 off on the link. Does nothing on a kernel without IPv6. */
export const disableIpv6 = (link: string): void => {
  try {
    writeSetting(link, 'ipv6/disable_ipv6', 1);
  } catch (error) {
    if (!(error instanceof NetlinkError && error.code === 'ENOENT')) throw error;
  }
};

/** Returns the value as a number. Throws the errors of `readFileSync`. */
export const readSetting = (link: string, setting: InterfaceSetting): number =>
  Number(readFileSync(settingPath(link, setting), 'utf8'));
