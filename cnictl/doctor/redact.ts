/** What stands in place of a secret. */
export const REDACTED = '[redacted]';

/** Keys of configurations whose value is a secret; `…File` names one, and is none. */
const SECRET_KEY =
  /pass(word|wd|phrase)?$|secret|token$|credential|private|apikey|api_key|(^|[-_])key$|key-?data$|cert(ificate)?-?data$|(^|[-_])(auth|pw|pwd)$|bearer/i;
const FILE_KEY = /(file|path|dir)$/i;

/** A value with its secrets taken out, however deep they lie. */
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

/** In the quotes of what it stands for: JSON stays JSON. */
const quoted = (value: string): string => {
  const [quote = ''] = /^(?:\\*"|')/.exec(value) ?? [];
  return `${quote}${REDACTED}${quote}`;
};

/** In the order in which they are taken out: whole blocks first. */
const PATTERNS: readonly (readonly [RegExp, string | Replacer])[] = [
  [/-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(-----END [A-Z0-9 ]+-----|$)/g, REDACTED],
  // As it stands inside of JSON or YAML, encoded: a PEM block begins with LS0tLS1.
  [/LS0tLS1[A-Za-z0-9+/=_-]+/g, REDACTED],
  // JSON Web Tokens, as service accounts have them (RFC 7519).
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
 * A text with what looks like a secret taken out, and every one of the given secrets wherever it stands.
 * @param secrets contents of password and token files; shorter ones than four characters would take out ordinary words
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
