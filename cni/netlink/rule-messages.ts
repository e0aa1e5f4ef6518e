/** Decodes RTM_…RULE of rtnetlink(7): `fib_rule_hdr` and FRA_… of linux/fib_rules.h. Pure. */
import { readAttributes, readNumber, readText } from './attributes.ts';
import { FRA_IIFNAME, FRA_OIFNAME, FRA_PRIORITY, RTM_GETRULE } from './kernel.ts';
import { dump, type Reply, type Request } from './request.ts';

/** A rule of policy routing. */
export interface RoutingRule {
  readonly priority: number;
  /** Name of the link that the packet came in by, if the rule asks for one. */
  readonly inputLink?: string;
  readonly outputLink?: string;
}

const HEADER_LENGTH = 12;

/** Lists the rules of all families. Equivalent to: ip rule show; ip -6 rule show */
export const showRules = (): Request<RoutingRule[]> =>
  dump('list routing rules', RTM_GETRULE, Buffer.alloc(HEADER_LENGTH), decodeRule);

const decodeRule = ({ payload: message }: Reply): RoutingRule => {
  const attributes = readAttributes(message, HEADER_LENGTH);
  const [input, output] = [FRA_IIFNAME, FRA_OIFNAME].map((type) => readText(attributes.get(type)));
  return {
    priority: readNumber(attributes.get(FRA_PRIORITY)) ?? 0,
    ...(input !== undefined && { inputLink: input }),
    ...(output !== undefined && { outputLink: output }),
  };
};
