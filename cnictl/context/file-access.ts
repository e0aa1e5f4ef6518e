/** What lies at a path; a link is told as such, not what it leads to. */
export type Kind = 'file' | 'folder' | 'link' | 'other';

/** Looking at files: changes nothing. */
export interface Look {
  /** Undefined where nothing is. */
  readonly kind: (path: string) => Kind | undefined;
  /** Undefined where the file does not exist. */
  readonly read: (path: string) => string | undefined;
  /** What the link says, as it stands there. */
  readonly readLink: (path: string) => string;
  /** Names in a folder, sorted; none where it does not exist. */
  readonly list: (folder: string) => readonly string[];
  /** The path without links; it must exist. */
  readonly realPath: (path: string) => string;
  /** SHA-256 in hex over every file's path, bytes and whether it may be executed. */
  readonly digest: (folder: string) => string;
}

/** The files that an installation touches. All of it throws CommandError, naming the path. */
export interface Files extends Look {
  /** The folder alone, mode 0755; its parent must be there. */
  readonly makeFolder: (path: string) => void;
  /** Whole and on the disk when it is seen under its name; what had that name is replaced. */
  readonly copyFolder: (from: string, to: string) => void;
  /** Makes or turns the link in one step: who follows it finds the old or the new. */
  readonly link: (target: string, path: string) => void;
  /** Whole or not at all, mode 0644, and on the disk when it is seen. */
  readonly write: (path: string, content: string) => void;
  readonly rename: (from: string, to: string) => void;
  /** A file, a link, or a folder with all that is in it; nothing there: done. */
  readonly remove: (path: string) => void;
  /** A folder only while it is empty. */
  readonly removeIfEmpty: (path: string) => void;
}
