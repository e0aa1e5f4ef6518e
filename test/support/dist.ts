/** Makes a dist/ of four small programs, for tests that only copy it. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** @param mark changes the content: a different mark yields another build of the same version */
export const makeDist = (folder: string, mark = 'one'): string => {
  const write = (path: string, content: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  };
  for (const name of ['cellnet', 'cellnet-ipam', 'cellnetd', 'cnictl']) {
    write(`bin/${name}`, `#!/bin/sh\necho ${name} ${mark}\n`);
    chmodSync(join(folder, 'bin', name), 0o755);
  }
  write('lib/cellnet.js', `// ${mark}\n`);
  write('package.json', '{"name":"cellnet","version":"1.2.3","type":"commonjs"}\n');
  return folder;
};
