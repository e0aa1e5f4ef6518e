import { KubeError } from '../../cni/kube/errors.ts';
import { canonicalPod, claimsAddresses, type AuditedPod } from '../../ipam/audit/judge.ts';
import { cidrContains, formatAddress, formatCidr, parseAddress } from '../../ipam/model/address.ts';
import { messageOf, IpamError } from '../../ipam/model/errors.ts';
import { didYouMean } from '../../ipam/model/nearest.ts';
import { matchesPattern } from '../../ipam/model/pattern.ts';
import { chooseRule } from '../../ipam/model/rule.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { podNames } from '../../ipam/query/known-names.ts';
import { tracePod, type PodName, type PodTrace } from '../../ipam/query/pod-trace.ts';
import { showAddress } from '../../ipam/query/views.ts';
import { namespaceOfRuleKey } from '../../ipam/records/rule-record.ts';
import { hiddenBy } from '../../ipam/records/unreadable.ts';
import { readRules } from '../../ipam/store/rules.ts';
import { ClusterError, identifyOwn } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { podText } from '../render/pod.ts';
import { ProgressLine } from '../render/progress.ts';
import { ownerOf, stateText } from './ip.ts';
import { findMismatches, type NotHeld } from './pod-mismatch.ts';
import { podReport, renderPod, type Answer, type PodReport } from './pod-report.ts';

/**
 * `pod show`: shows the current and past addresses of the pods of a name, and what the API server
 * reports of the pod. Without an answer from the API server, it shows the rest and says so.
 * @throws CommandError for a name of another form, or when neither etcd nor the API server knows it
 */
export async function podShow(context: Context, text: string): Promise<number> {
  const name = parsePodName(text);
  return await context.withIpam(async (ipam) => {
    const trace = await traced(context, ipam, name);
    const answer = await ask(context, ipam, name);
    if (answer.kind !== 'pod' && answer.kind !== 'failed' && trace.held.length + trace.past.length === 0) {
      context.warnUnreadable(trace.unreadable);
      throw new CommandError(
        `pod '${text}' is not known: ${answer.kind === 'none' ? 'the API server has none of that name' : 'no API server is configured'}, and etcd holds no address of one, nor a past one`,
        `${didYouMean(text, await podNames(ipam))}Look for its name with \`kubectl get pods -A\`, or for an address with \`cnictl ip history ADDRESS\`.`,
      );
    }
    const pod = answer.kind === 'pod' ? answer.pod : undefined;
    const isTold = answer.kind === 'pod' || answer.kind === 'none';
    const mismatches = isTold
      ? findMismatches(trace.held, pod, pod ? await notHeld(ipam, pod, trace) : [])
      : [];
    const report = { name, trace, answer, mismatches, rule: await ruleOf(ipam, name) };
    context.print(podReport(report), () => renderPod(report, context.world.now(), context.paint));
    context.warnUnreadable(trace.unreadable);
    return answer.kind === 'failed' ? 2 : 0;
  });
}

/** Returns the rule of the pod by its names; undefined if there are no rules at all. */
async function ruleOf({ store }: Ipam, name: PodName): Promise<PodReport['rule']> {
  const { rules, unreadable } = await readRules(store);
  const bad = unreadable.find(({ key }) => matchesPattern(namespaceOfRuleKey(key), name.namespace));
  if (bad) return { bad: bad.reason };
  return rules.length === 0 ? undefined : chooseRule(rules, name, {});
}

/** @throws CommandError */
export function parsePodName(text: string): PodName {
  const [namespace = '', name = '', ...more] = text.split('/');
  if (namespace !== '' && name !== '' && more.length === 0) return { namespace, name };
  throw new CommandError(`pod '${text}': expected NAMESPACE/NAME, such as default/web-1`);
}

async function traced(context: Context, ipam: Ipam, name: PodName): Promise<PodTrace> {
  const line = new ProgressLine(context.world, context.paint);
  try {
    return await tracePod(ipam, name, (records) => line.update('records read', records, 0));
  } finally {
    line.clear();
  }
}

async function ask(context: Context, { store }: Ipam, { namespace, name }: PodName): Promise<Answer> {
  if (!context.knowsKube) return { kind: 'no-server' };
  try {
    const pod = await context.withKube(async (kube) => {
      await identifyOwn(store, kube);
      return await kube.getPod(namespace, name);
    });
    return pod ? { kind: 'pod', pod: canonicalPod(pod) } : { kind: 'none' };
  } catch (error) {
    if (!(error instanceof KubeError || error instanceof ClusterError)) throw error;
    context.warn(`the API server could not be asked: ${messageOf(error)}`);
    return { kind: 'failed', reason: messageOf(error) };
  }
}

/**
 * Returns the addresses of our ranges that the pod reports and etcd does not hold for it. One in a
 * block that cannot be read counts as the pod's.
 */
async function notHeld(ipam: Ipam, pod: AuditedPod, { held, unreadable }: PodTrace): Promise<NotHeld[]> {
  if (!claimsAddresses(pod)) return [];
  const ours = new Set(held.map(({ address }) => formatAddress(address)));
  const hidden = hiddenBy(unreadable);
  const found: NotHeld[] = [];
  for (const ip of pod.podIPs.filter((each) => !ours.has(each))) {
    const address = parseAddress(ip);
    if (hidden.some((cidr) => cidrContains(cidr, address))) continue;
    try {
      const view = await showAddress(ipam, address);
      const owner = ownerOf(view);
      const holder = owner && `given to ${owner.podName === undefined ? owner.containerId : podText(owner)}`;
      const block = view.block ? ` (block ${formatCidr(view.block)} of ${view.node ?? '?'})` : '';
      found.push({ ip, state: `${holder ?? stateText(view)}${block}` });
    } catch (error) {
      // The address belongs to another network.
      if (!(error instanceof IpamError && error.code === 'not-found')) throw error;
    }
  }
  return found;
}
