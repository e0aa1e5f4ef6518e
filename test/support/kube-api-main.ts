/**
 * Runs the test API server as a process, for demos:
 *
 *     node --import tsx test/support/kube-api-main.ts --kubeconfig FILE [--port 0] [--pods N]
 *       [--host ADDRESS]
 *
 * The process prints its URL as the first line of stdout and serves until SIGTERM or SIGINT. Change
 * its pods from outside:
 *
 *     curl -X PUT URL/_test/pods/default/web-1 -d '{"uid":"…","node":"node-1","ip":"10.20.0.17"}'
 *     curl -X DELETE URL/_test/pods/default/web-1
 */
import { parseArgs } from 'node:util';
import { pod, startKubeApi } from './kube-api.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    host: { type: 'string', default: '127.0.0.1' },
    kubeconfig: { type: 'string' },
    pods: { type: 'string', default: '0' },
  },
});
const count = Number(values.pods);
const api = await startKubeApi({
  port: Number(values.port),
  host: values.host,
  admin: true,
  bulk: {
    count,
    make: (i) => {
      const number = String(i).padStart(7, '0');
      return pod({
        namespace: 'bulk',
        name: `pod-${number}`,
        uid: `00000000-0000-4000-8000-00000${number}`,
        node: `node-${i % 5000}`,
      });
    },
  },
});
if (values.kubeconfig !== undefined) api.writeKubeconfig(values.kubeconfig);
console.log(api.url);
const end = (): void => void api.close().then(() => process.exit(0));
process.on('SIGTERM', end);
process.on('SIGINT', end);
