import type { PartialSettings } from '../../ipam/settings/settings.ts';
import type { AgentAnswer } from '../context/world.ts';
import { plural } from '../render/plural.ts';
import { BY_SYSTEMD } from './node.ts';
import { fail, ok, warn, type Finding } from './finding.ts';

const CHECK = 'masquerading';
const NOBODY = 'NodePorts and hostPorts may give clients no answer';

/** No line where key `masqueradeForwarded` is off. */
export function judgeMasquerade(
  socket: string | false,
  { health }: AgentAnswer,
  { masqueradeForwarded }: Pick<PartialSettings, 'masqueradeForwarded'>,
  commands = BY_SYSTEMD,
): Finding[] {
  if (socket === false && masqueradeForwarded)
    return [warn(CHECK, `no agent is used, which would do it: ${NOBODY}`, 'Key "masqueradeForwarded".')];
  // An agent that does not answer has a line of its own check.
  if (!health) return [];
  if (!health.masquerade)
    return masqueradeForwarded
      ? [fail(CHECK, `the agent runs without key "masqueradeForwarded": ${NOBODY}`, commands.restart)]
      : [];
  const { ranges, restored, reason } = health.masquerade;
  if (reason !== undefined)
    return [
      fail(
        CHECK,
        `is not in place: ${reason}; ${NOBODY}`,
        'Mend it: the agent tries again every 10 s. Or take "masqueradeForwarded" out: docs/services.md.',
      ),
    ];
  const told = `in place for ${plural(ranges, 'range')}`;
  if (restored === 0) return [ok(CHECK, told)];
  return [
    warn(
      CHECK,
      `${told}; since the agent began somebody else removed or changed it ${plural(restored, 'time')}, and it put it back`,
      'Find what does: nft flush ruleset in a script, the service nftables. Restart the agent to count again.',
    ),
  ];
}
