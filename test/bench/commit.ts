import type { Write } from '../../ipam/records/transaction.ts';
import type { Fabric } from '../support/fabric.ts';
import { must } from '../support/proc.ts';

/** Carries out the writes in one transaction of etcd, in whose network this process is not. */
export const commitIn = ({ ns, etcd }: Fabric, writes: readonly Write[]): Promise<string> => {
  const lines = writes.map((each) => {
    const key = `/cellnet/v1/${each.key}`;
    return each.kind === 'put' ? `put ${key} ${JSON.stringify(each.value)}` : `del ${key}`;
  });
  return must('etcdctl', ['txn'], {
    netns: ns.name,
    input: `\n${lines.join('\n')}\n\n\n`,
    env: { ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: etcd.endpoints.join(',') },
  });
};
