declare const CELLNET_VERSION: string | undefined;

/** Of this build: build.mjs puts the package's version in. */
export const VERSION = typeof CELLNET_VERSION === 'string' ? CELLNET_VERSION : 'from source';
