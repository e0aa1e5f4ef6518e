/** The kind of a path. Links are not followed. */
export type Kind = 'file' | 'folder' | 'link' | 'other';

/** Reads files and changes nothing. */
export interface Look {
  /** Undefined when nothing exists at the path. */
  readonly kind: (path: string) => Kind | undefined;
  /** Undefined when the file does not exist. */
  readonly read: (path: string) => string | undefined;
  /** Returns the link's text unresolved. */
  readonly readLink: (path: string) => string;
  /** Sorted names in a folder; none when the folder does not exist. */
  readonly list: (folder: string) => readonly string[];
  /** The path without links. It must exist. */
  readonly realPath: (path: string) => string;
  /** Tells whether an existing folder lies on a file system that is mounted read-only. */
  readonly isReadOnly: (folder: string) => boolean;
  /** SHA-256 in hex over every file's path, content and executable bit. */
  readonly digest: (folder: string) => string;
}

/**
 * Access to the files of an installation. Every function throws CommandError that names the path.
 */
export interface Files extends Look {
  /** Makes one folder with mode 0755. The parent must exist. */
  readonly makeFolder: (path: string) => void;
  /** Appears under its name only when complete and on disk. Replaces what had that name. */
  readonly copyFolder: (from: string, to: string) => void;
  /** Creates or replaces the link atomically: a reader follows the old or the new one. */
  readonly link: (target: string, path: string) => void;
  /**
   * Writes the whole file or nothing. The content is on disk when it appears.
   * @param mode default: 0644
   */
  readonly write: (path: string, content: string, mode?: number) => void;
  readonly rename: (from: string, to: string) => void;
  /**
   * Removes a file, a link, or a folder with its content. Does nothing when the path is missing.
   */
  readonly remove: (path: string) => void;
  /** Removes a folder only while it is empty, and tells whether it did. */
  readonly removeIfEmpty: (path: string) => boolean;
}
