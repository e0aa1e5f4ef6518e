/**
 * Runs the plugin `cellnet` with a fault at one step of a verb. Tests use it to see what a failure
 * leaves behind. The environment selects the fault: FAULT_STEP=VERB/STEP, FAULT_WHEN=before|after,
 * FAULT_KIND=throw|kill.
 */
import { runPlugin } from '../../cni/process.ts';

const { FAULT_STEP, FAULT_WHEN, FAULT_KIND } = process.env;

void runPlugin('cellnet', (parts) => ({
  ...parts,
  onStep: (verb, step, when) => {
    if (`${verb}/${step}` !== FAULT_STEP || when !== FAULT_WHEN) return;
    if (FAULT_KIND === 'kill') process.kill(process.pid, 'SIGKILL');
    throw new Error(`fault ${when} ${verb}/${step}`);
  },
}));
