/** Words that make the name of a setting that of a secret, wherever they stand in it. */
const WORDS = new Set(
  `auth authorization bearer cred creds hmac jwt otp pass passcode pin psk pw pwd sig totp private`.split(
    ' ',
  ),
);
/** Parts of words, because names are written together too: `dbpassword`, `accesskey`. */
const PARTS =
  /passw(or)?d|passphrase|secret|token|credential|cookie|signature|(api|access|private|ssh|shared|master|signing|encryption)key/;
/** A name that ends like this names a place, and no secret. */
const PLACES = new Set(['file', 'files', 'path', 'paths', 'dir', 'folder', 'name', 'names']);
/** Keys in etcd, or of a table: what stands before `key` in their names. */
const NO_LOCKS = new Set(
  'alive block cache etcd foreign history index lost machine node primary public range sort'.split(' '),
);
const DATA_OF = new Set(['key', 'cert', 'certificate', 'authority']);

/** Splits `awsSecretAccess_key-data` into words in small letters. */
const wordsOf = (name: string): string[] =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');

/**
 * Returns whether a setting of this name holds a secret.
 * @param inText in a log, `key` alone is mostly a key of etcd
 */
export function isSecretName(name: string, inText: boolean): boolean {
  const words = wordsOf(name);
  const [last = '', before = ''] = words.slice().reverse();
  if (PLACES.has(last)) return false;
  if (words.some((word) => WORDS.has(word)) || PARTS.test(words.join(''))) return true;
  if (last === 'data') return DATA_OF.has(before);
  if (last === 'key' || last === 'keys') return words.length > 1 ? !NO_LOCKS.has(before) : !inText;
  return false;
}
