import { canonicalNodeName } from '../../ipam/model/node-name.ts';
import type { Node, Probe } from './api.ts';
import type { Client } from './client.ts';
import { asObject, DecodeError, decodeNode } from './decode.ts';
import { KubeError } from './errors.ts';
import type { Limit } from './limit.ts';
import { decoding } from './list.ts';
import { saysNotFound } from './status.ts';

/** Node names are RFC 1123 subdomains. No other text may become part of a request path. */
const NODE_NAME = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

/**
 * Returns undefined only when the server reports that this very node does not exist.
 * @param given may have capitals, as a host name may; the kubelet registers it without
 * @throws KubeError
 */
export async function getNode(client: Client, given: string, limit: Limit): Promise<Node | undefined> {
  const name = canonicalNodeName(given);
  if (!NODE_NAME.test(name)) {
    throw new KubeError(
      'malformed',
      `node name '${name}' is not one that Kubernetes allows: expected the form node-1`,
      { remedy: 'Look where this name came from: no such node can be in the cluster.' },
    );
  }
  const reply = await client.get(`/api/v1/nodes/${name}`, { verb: 'get', resource: 'nodes' }, limit);
  if (reply.kind === 'other') {
    if (reply.error.status === 404 && saysNotFound(reply.status, 'nodes', name)) return undefined;
    throw reply.error;
  }
  return decoding(client.server, `get node ${name}`, () => {
    const { kind } = asObject(reply.value, 'the answer');
    if (kind !== 'Node') throw new DecodeError('kind', '"Node"', kind);
    const node = decodeNode(reply.value);
    if (node.name !== name) throw new DecodeError('metadata.name', `"${name}"`, node.name);
    return node;
  });
}

/** Requests one item of a list. @throws KubeError, `forbidden` when this client may not list it */
export async function probe(
  client: Client,
  resource: 'pods' | 'nodes',
  now: () => number,
  limit: Limit,
): Promise<Probe> {
  const asked = now();
  const reply = await client.get(`/api/v1/${resource}?limit=1`, { verb: 'list', resource }, limit);
  const answered = now();
  if (reply.kind === 'other') throw reply.error;
  const serverTime = Date.parse(reply.date ?? '');
  return { serverTime: Number.isNaN(serverTime) ? undefined : serverTime, asked, answered };
}
