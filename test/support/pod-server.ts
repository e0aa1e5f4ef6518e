import { join } from 'node:path';
import { REPOSITORY } from './cni.ts';
import { MANAGEMENT_ADDRESS, type Fabric } from './fabric.ts';
import { node } from './kube-api-objects.ts';
import type { EndpointSliceOptions, ServiceOptions } from './kube-api-services.ts';
import { must, startDaemon } from './proc.ts';

export interface ServedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly ip: string;
}

/**
 * Runs the test API server as a process in the fabric's namespace, where cnictl and the nodes reach
 * it.
 */
export interface PodServer {
  readonly kubeconfig: string;
  putNode(name: string, ready?: boolean): Promise<void>;
  put(pod: ServedPod): Promise<void>;
  remove(namespace: string, name: string): Promise<void>;
  putService(name: string, options: Omit<ServiceOptions, 'name'>): Promise<void>;
  putEndpointSlice(name: string, options: Omit<EndpointSliceOptions, 'name'>): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A program that sends one HTTP request from inside the fabric. It escapes nothing, because the
 * pods' names are plain.
 */
const REQUEST = `
const [url, method, body] = process.argv.slice(1);
fetch(url, { method, ...(body && { body }) }).then((reply) => {
  if (!reply.ok) console.error(reply.status);
  process.exit(reply.ok ? 0 : 1);
});
`;

export async function startPodServer(fabric: Fabric, dir: string): Promise<PodServer> {
  const kubeconfig = join(dir, 'kubeconfig');
  const program = join(REPOSITORY, 'test/support/kube-api-main.ts');
  const daemon = await startDaemon(
    process.execPath,
    ['--import', 'tsx', program, '--port', '0', '--host', MANAGEMENT_ADDRESS, '--kubeconfig', kubeconfig],
    (it) => /^http\S+\s/m.test(it.output()),
    { netns: fabric.ns.name, cwd: REPOSITORY },
  );
  const [url] = daemon.output().split('\n');
  const request = (method: string, path: string, body: object = {}): Promise<string> =>
    must(process.execPath, ['-e', REQUEST, `${url ?? ''}/_test/${path}`, method, JSON.stringify(body)], {
      netns: fabric.ns.name,
    });
  return {
    kubeconfig,
    putNode: async (name, ready = true) => {
      await request('PUT', `nodes/${name}`, node({ name, ready }));
    },
    put: async ({ namespace, name, ...rest }) => {
      await request('PUT', `pods/${namespace}/${name}`, rest);
    },
    remove: async (namespace, name) => {
      await request('DELETE', `pods/${namespace}/${name}`);
    },
    putService: async (name, options) => {
      await request('PUT', `services/default/${name}`, options);
    },
    putEndpointSlice: async (name, options) => {
      await request('PUT', `endpointslices/default/${name}`, options);
    },
    stop: () => daemon.stop(),
  };
}
