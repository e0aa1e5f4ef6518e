/** Replaces a secret. */
export const REDACTED = '[redacted]';

/** Keys of configurations whose value is a secret. A `…File` key names a file and is no secret. */
const SECRET_KEY =
  /pass(word|wd|phrase)?$|secret|token$|credential|private|apikey|api_key|(^|[-_])key$|key-?data$|cert(ificate)?-?data$|(^|[-_])(auth|pw|pwd)$|bearer/i;
const FILE_KEY = /(file|path|dir)$/i;

/** Returns a value with its secrets redacted at every depth. */
export function redactJson(value: unknown, secrets: readonly string[] = []): unknown {
  if (typeof value === 'string') return redactText(value, secrets);
  if (Array.isArray(value)) return value.map((each) => redactJson(each, secrets));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      redactText(key, secrets),
      isSecret(key, each) ? REDACTED : redactJson(each, secrets),
    ]),
  );
}

const isSecret = (key: string, value: unknown): boolean =>
  SECRET_KEY.test(key) && !FILE_KEY.test(key) && value !== null && value !== '' && typeof value !== 'boolean';

type Replacer = (found: string, before: string, value: string) => string;

/** Keeps the quotes of the value, so that JSON stays valid. */
const quoted = (value: string): string => {
  const [quote = ''] = /^(?:\\*"|')/.exec(value) ?? [];
  return `${quote}${REDACTED}${quote}`;
};

/** In the order of redaction: whole blocks first. */
const PATTERNS: readonly (readonly [RegExp, string | Replacer])[] = [
  [/-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(-----END [A-Z0-9 ]+-----|$)/g, REDACTED],
  // PEM encoded inside JSON or YAML: a block begins with LS0tLS1.
  [/LS0tLS1[A-Za-z0-9+/=_-]+/g, REDACTED],
  // JSON Web Tokens, as service accounts use them (RFC 7519).
  [/\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, REDACTED],
  [/\b(Bearer|Basic)\s+[^\s"',;]+/gi, `$1 ${REDACTED}`],
  // user:password@host in a URL.
  [/([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi, `$1${REDACTED}@`],
  [
    /(["']?[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|client-key-data|client-certificate-data|private[_-]?key)\\*["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|(?<escape>\\+)"[\s\S]*?(?<!\\)\k<escape>"|'[^']*'|[^\s,;}&]+)/gi,
    (_, before, value) => `${before}${quoted(value)}`,
  ],
  [/(--[\w-]*(?:password|token|secret)[\s=]+)(?!-)[^\s"']+/gi, `$1${REDACTED}`],
];

/**
 * Redacts what looks like a secret, and every given secret, wherever it appears.
 * @param secrets contents of password and token files; those shorter than four characters are
 *   ignored, because they would redact ordinary words
 */
export function redactText(text: string, secrets: readonly string[] = []): string {
  const known = secrets
    .filter(({ length }) => length >= 4)
    .reduce((left, secret) => left.replaceAll(secret, REDACTED), text);
  return PATTERNS.reduce(
    (left, [pattern, instead]) =>
      typeof instead === 'string' ? left.replace(pattern, instead) : left.replace(pattern, instead),
    known,
  );
}
