import { test } from 'node:test';
import { sampled } from '../support/samples.ts';
import { hold } from './hold.ts';

test('until when ranges last', async () => {
  const lines: string[] = [];
  for (const [hours, commands] of [
    [3, ['range list', 'range show blue']],
    [30, ['range list', 'range show blue']],
    [192, ['range list', 'range show blue', 'rule show web', 'status', 'range show blue -o json']],
  ] as const) {
    const world = await sampled(hours);
    for (const command of commands) {
      const { status, stdout, stderr } = await world.run(command);
      lines.push(`$ cnictl ${command}   # ${hours} samples\n${stdout}${stderr}--- status ${status}\n\n`);
    }
  }
  hold('forecast', lines.join(''));
});
