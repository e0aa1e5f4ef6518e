import { basename, join } from 'node:path';
import * as v from 'valibot';
import { decodeValue } from '../../ipam/records/decode.ts';
import type { Look } from '../context/file-access.ts';
import { currentOf, DEFAULT_LIB_DIR } from './layout.ts';

const identity = v.object({ name: v.literal('cellnet'), version: v.string() });

/** What `node install` put on this node. */
export interface Installed {
  /** The folder of the version that the runtime's plugins lead to. */
  readonly folder: string;
  /** Null where its package.json cannot be read. */
  readonly version: string | null;
}

/** Returns the installed version; undefined where nothing is installed. */
export function installedVersion(look: Look): Installed | undefined {
  const current = currentOf({ libDir: DEFAULT_LIB_DIR });
  if (look.kind(current) !== 'link') return undefined;
  const folder = join(DEFAULT_LIB_DIR, 'versions', basename(look.readLink(current)));
  return { folder, version: versionIn(look.read(join(current, 'package.json'))) };
}

function versionIn(text: string | undefined): string | null {
  try {
    const result = decodeValue(identity, JSON.parse(text ?? ''));
    return result.ok ? result.value.version : null;
  } catch {
    return null;
  }
}
