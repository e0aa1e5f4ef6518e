import type { Command } from 'commander';
import { VERSION } from '../../ipam/settings/version.ts';
import { completionScript } from '../completion/scripts.ts';
import { manualPages } from './pages.ts';

/** Returns what packages install below /usr/share, by path. */
export function shareFiles(program: Command): Map<string, string> {
  return new Map([
    ['bash-completion/completions/cnictl', completionScript('bash')],
    ['zsh/vendor-completions/_cnictl', completionScript('zsh')],
    ['fish/vendor_completions.d/cnictl.fish', completionScript('fish')],
    ...[...manualPages(program, VERSION)].map(([name, page]) => [`man/man1/${name}`, page] as const),
  ]);
}
