declare const CELLNET_VERSION: string | undefined;

/** Version of this build. build.mjs inserts the package's version. */
export const VERSION = typeof CELLNET_VERSION === 'string' ? CELLNET_VERSION : 'from source';
