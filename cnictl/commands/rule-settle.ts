import type { Platform } from '../../cni/platform/platform.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { readRules } from '../../ipam/store/rules.ts';
import { settleKept, type AskOfPod, type Settled, type Subject } from '../../ipam/rules/keeping.ts';
import type { Context } from '../context/context.ts';
import { quietLog } from '../context/quiet-log.ts';
import { plural } from '../render/plural.ts';
import { keeps } from './rule-annotations.ts';

/** Makes what is kept agree with the rules, where a rule keeps or has kept addresses. */
export async function settle(context: Context, ipam: Ipam, subject: Subject): Promise<Settled | undefined> {
  const { rules } = await readRules(ipam.store);
  const mayKeep = subject.rule === undefined || keeps(subject.rule) || rules.some(keeps);
  if (!mayKeep) return undefined;
  const settled = await settleKept(ipam, subject, askWith(context));
  if (settled.untold > 0)
    context.warn(
      `${plural(settled.untold, 'address', 'addresses')} may be kept by a rule, but nobody told of their pods: they are kept from when these are made again, or when the same rule is added again with --kubeconfig`,
    );
  context.warnUnreadable(settled.unreadable);
  return settled;
}

/** Asks the API server about pods that live, as the agent asks about those that come. */
function askWith(context: Context): AskOfPod {
  let platform: Promise<Pick<Platform, 'podFacts'>> | undefined;
  return async ({ namespace, name, podUid }, sources) => {
    if (!context.knowsKube) return undefined;
    platform ??= context.world.openPlatform(quietLog);
    try {
      const pod = { namespace, name, uid: podUid };
      return await (await platform).podFacts(context.settings.kubeconfig, pod, sources);
    } catch (error) {
      context.warn(messageOf(error));
      return undefined;
    }
  };
}
