/** `pods/exec` of the API server: the protocol v4.channel.k8s.io over a WebSocket. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { status } from './kube-api-objects.ts';
import { forbidden } from './kube-api-route.ts';
import type { Collection } from './kube-api-store.ts';

export interface ExecCall {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly argv: readonly string[];
}

/** How a program in a pod ended. */
export interface ExecResult {
  readonly stdout?: string;
  readonly stderr?: string;
  /** Default: 0 */
  readonly code?: number;
}

/**
 * What programs in pods do. `hang`: the server accepts and says nothing more; `cut`: it ends the
 * connection without a word.
 */
export type PodPrograms = (call: ExecCall) => Promise<ExecResult | 'hang' | 'cut'>;

export interface Execs {
  readonly programs: PodPrograms | undefined;
  readonly pods: Collection;
  readonly userOf: (req: IncomingMessage) => string | undefined;
  readonly forbid: ((user: string, verb: string, resource: string) => boolean) | undefined;
}

const PATH = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/exec$/;
const [STDOUT, STDERR, ERROR] = [1, 2, 3];
/** A message has at most this many bytes, as those of a runtime's streaming server. */
const PIECE = 32_000;

export function answerExecs(server: Server, { programs, pods, userOf, forbid }: Execs): void {
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has('v4.channel.k8s.io') ? 'v4.channel.k8s.io' : false),
  });
  server.on('upgrade', (req, socket, head) => {
    const url = new URL(req.url ?? '/', 'http://server');
    const [, namespace = '', pod = ''] = PATH.exec(url.pathname) ?? [];
    const what = {
      resource: 'pods/exec',
      group: '',
      apiVersion: 'v1',
      kind: 'Pod',
      namespace,
      name: pod,
    } as const;
    const user = userOf(req);
    if (user === undefined) {
      refuse(socket, 401, status(401, 'Unauthorized', 'Unauthorized'));
      return;
    }
    if (forbid?.(user, 'create', 'pods/exec') === true) {
      refuse(socket, 403, forbidden(user, 'create', what));
      return;
    }
    const details = { name: pod, kind: 'pods' };
    if (programs === undefined || pods.get(`${namespace}/${pod}`) === undefined) {
      refuse(socket, 404, status(404, 'NotFound', `pods "${pod}" not found`, { details }));
      return;
    }
    const container = url.searchParams.get('container') ?? '';
    const argv = url.searchParams.getAll('command');
    sockets.handleUpgrade(req, socket, head, (client) => {
      void serve(client, programs({ namespace, pod, container, argv }));
    });
  });
}

async function serve(client: WebSocket, running: ReturnType<PodPrograms>): Promise<void> {
  const result = await running;
  if (result === 'hang') return;
  if (result === 'cut') {
    client.terminate();
    return;
  }
  const send = (channel: number | undefined, text: string): void => {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += PIECE)
      client.send(Buffer.concat([Buffer.of(channel ?? 0), bytes.subarray(at, at + PIECE)]));
  };
  send(STDOUT, result.stdout ?? '');
  send(STDERR, result.stderr ?? '');
  send(ERROR, JSON.stringify(endOf(result.code ?? 0)));
  client.close(1000);
}

function endOf(code: number): object {
  if (code === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: `${code}` }] },
  };
}

function refuse(socket: Duplex, code: number, body: unknown): void {
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${code} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
  );
}
