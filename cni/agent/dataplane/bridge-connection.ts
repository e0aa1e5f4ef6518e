import { FORMER_FLOWS, formerOf, type Former } from '../../dataplane/former.ts';
import type { Selection } from '../../openflow/multipart.ts';
import type { Batch, Flush, Modification } from '../../openflow/program.ts';

/** What the keeper needs of a connection to its bridge: `OpenFlowConnection`. */
export interface BridgeConnection {
  bundle(changes: Batch): Promise<void>;
  send(changes: readonly (Modification | Flush)[]): Promise<void>;
  countFlows(selection: Selection): Promise<number>;
  listMatches(selection: Selection): Promise<readonly Buffer[]>;
  listGroups(): Promise<readonly { readonly id: number }[]>;
  listMeters(): Promise<readonly number[]>;
  close(): void;
}

/** Reads what of Services the bridge does now. */
export async function readFormer(connection: Pick<BridgeConnection, 'listMatches'>): Promise<Former> {
  const [frontends, endpoints] = await Promise.all([
    connection.listMatches(FORMER_FLOWS.frontends),
    connection.listMatches(FORMER_FLOWS.endpoints),
  ]);
  return formerOf({ frontends, endpoints });
}
