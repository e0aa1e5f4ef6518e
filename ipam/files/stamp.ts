import { statSync } from 'node:fs';

/** Returns a text that differs when one of the files was replaced or written to. */
export function stampOf(files: readonly (string | undefined)[]): string {
  return files
    .filter((file) => file !== undefined)
    .map(stampOfFile)
    .join(', ');
}

function stampOfFile(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return 'none';
  }
}
