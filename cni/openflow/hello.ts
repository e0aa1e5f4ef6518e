/** Negotiation of the version (ONF TS-025, section 7.5.1), echo and barrier. Pure. */
import { written } from './bytes.ts';
import { MESSAGE, OPENFLOW_15, writeMessage, type Message } from './header.ts';
import { parts } from './parts.ts';

/** OFPHET_VERSIONBITMAP */
const VERSION_BITMAP = 1;

/** Offers version 1.5 only. */
export const hello = (xid: number): Buffer =>
  written((to) =>
    writeMessage(to, MESSAGE.hello, xid, () => {
      to.u16(VERSION_BITMAP);
      to.u16(8);
      to.u32(1 << OPENFLOW_15);
    }),
  );

/**
 * Whether the switch that sent the hello speaks version 1.5. Without a bitmap it speaks all
 * versions up to that of its header.
 */
export function speaks15({ version, body }: Message): boolean {
  const bitmap = parts(body, 2).find((element) => element.readUInt16BE(0) === VERSION_BITMAP);
  if (!bitmap) return version >= OPENFLOW_15;
  return bitmap.length >= 8 && (bitmap.readUInt32BE(4) & (1 << OPENFLOW_15)) !== 0;
}

/** The switch answers once it has carried out all that came before. */
export const barrier = (xid: number): Buffer => empty(MESSAGE.barrierRequest, xid);

export const echoRequest = (xid: number): Buffer => empty(MESSAGE.echoRequest, xid);

export const echoReply = ({ xid, body }: Message): Buffer =>
  written((to) => writeMessage(to, MESSAGE.echoReply, xid, () => to.bytes(body)));

const empty = (type: number, xid: number): Buffer =>
  written((to) => writeMessage(to, type, xid, () => undefined));
