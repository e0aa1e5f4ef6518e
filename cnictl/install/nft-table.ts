import { TABLE } from '../../cni/nftables/masquerade-table.ts';
import type { Context } from '../context/context.ts';
import type { Tree } from './layout.ts';
import type { Step } from './steps.ts';

/** Whether this node's kernel has the table of key `masqueradeForwarded`. */
export interface NftTable {
  readonly hasTable: boolean;
  /** Why it may have not been found. */
  readonly trouble: string | undefined;
}

export const REMOVE_NFT_TABLE: Step = { do: 'run', argv: ['nft', 'delete', 'table', ...TABLE] };

/**
 * Asks the kernel only for this machine, and in a pod, which works on the node's network and has
 * the node's folders below the root. A tree elsewhere is another machine's.
 */
export async function nftTable({ world }: Pick<Context, 'world'>, tree: Tree): Promise<NftTable> {
  const isThisNode = tree.root === '/' || Boolean(world.env['KUBERNETES_SERVICE_HOST']);
  if (!isThisNode) return { hasTable: false, trouble: undefined };
  const { status, output } = await world.exec(['nft', 'list', 'tables', TABLE[0]]);
  const hasTable = status === 0 && output.split('\n').includes(`table ${TABLE.join(' ')}`);
  // Without the program nft the agent made no table.
  const trouble =
    status === null || status === 0
      ? undefined
      : `the table ${TABLE.join(' ')} of nftables may be left: ${output.trim()}`;
  return { hasTable, trouble };
}
