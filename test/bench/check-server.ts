/**
 * Runs the test API server with the pods of a big cluster in its own process until SIGTERM. Usage:
 * `check-server.ts PODS KUBECONFIG`.
 */
import { node, startKubeApi } from '../support/kube-api.ts';
import { livingOf, nodeNames, podOf } from './check-cluster.ts';

const [pods = '0', kubeconfig = ''] = process.argv.slice(2);
const api = await startKubeApi({ bulk: { count: livingOf(Number(pods)), make: podOf } });
for (const name of nodeNames()) api.putNode(node({ name, uid: name }));
api.writeKubeconfig(kubeconfig);
console.log('ready');
process.on('SIGTERM', () => void api.close().then(() => process.exit(0)));
