import { isSecretName } from './secret-key.ts';
import { valueAt } from './secret-value.ts';

/** Replaces a secret. */
export const REDACTED = '[redacted]';

type Json = Readonly<Record<string, unknown>>;

/** Returns a value with its secrets redacted at every depth. */
export function redactJson(value: unknown, secrets: readonly string[] = []): unknown {
  if (typeof value === 'string') return redactText(value, secrets);
  if (Array.isArray(value)) return value.map((each) => redactJson(each, secrets));
  if (typeof value !== 'object' || value === null) return value;
  const named = namesSecret(value as Json);
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      redactText(key, secrets),
      isSecret(key, each) || (named && key === 'value') ? REDACTED : redactJson(each, secrets),
    ]),
  );
}

const isSecret = (key: string, value: unknown): boolean =>
  isSecretName(key, false) && value !== null && value !== '' && typeof value !== 'boolean';

/** An environment variable as Kubernetes writes it: `{"name":"DB_PASSWORD","value":"…"}`. */
const namesSecret = ({ name }: Json): boolean => typeof name === 'string' && isSecretName(name, false);

/**
 * What is a secret by its form, in the order of redaction: whole blocks first. Each pattern begins
 * where a word begins, or with a fixed text, and takes time linear in the text.
 */
const FORMS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(-----END [A-Z0-9 ]+-----|$)/g, REDACTED],
  // PEM encoded inside JSON or YAML: a block begins with LS0tLS1.
  [/LS0tLS1[A-Za-z0-9+/=_-]+/g, REDACTED],
  // JSON Web Tokens, as service accounts use them (RFC 7519).
  [/(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, REDACTED],
  // IDs of access keys of AWS.
  [/(?<![A-Za-z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])/g, REDACTED],
  // Headers of HTTP whose whole line is secret, on a line of their own and within a text.
  [/^([<>* \t]*(?:(?:proxy-)?authorization|(?:set-)?cookie):[ \t]*).+$/gim, `$1${REDACTED}`],
  [/(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie)(:[ \t]*)[^\s"'\\][^\r\n"'\\]*/gi, `$1$2${REDACTED}`],
  [/\b(Bearer|Basic)\s+(?![=:])[^\s"',;]+/gi, `$1 ${REDACTED}`],
  // user:password@host in a URL.
  [/(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*:\/\/)[^\s/"']*@/gi, `$1${REDACTED}@`],
];

/** A name and what stands between it and its value, in JSON, YAML, a URL's query or a log. */
const SETTING = /(?<![\w.-])([\w.-]+)(\\*["']?\s*[:=]\s*)/g;
/** A flag whose value is the next word. */
const FLAG = /(?<![\w-])(--[\w.-]+)(\s+)(?!-)([^\s"']+)/g;

/**
 * Redacts what looks like a secret, and every given secret, wherever it appears.
 * @param secrets contents of password and token files; those shorter than four characters are
 *   ignored, because they would redact ordinary words
 */
export function redactText(text: string, secrets: readonly string[] = []): string {
  const known = secrets
    .filter(({ length }) => length >= 4)
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    .reduce((left, secret) => left.replaceAll(secret, REDACTED), text);
  const formed = FORMS.reduce((left, [pattern, instead]) => left.replace(pattern, instead), known);
  return redactSettings(formed).replace(FLAG, (all, flag: string, space: string) =>
    isSecretName(flag, true) ? `${flag}${space}${REDACTED}` : all,
  );
}

function redactSettings(text: string): string {
  const parts: string[] = [];
  const unclosed = new Set<string>();
  let done = 0;
  const settings = new RegExp(SETTING);
  for (let found = settings.exec(text); found; found = settings.exec(text)) {
    const [, name = '', between = ''] = found;
    if (!isSecretName(name, true)) continue;
    const start = settings.lastIndex;
    const value = valueAt(text, start, between, unclosed);
    if (!value) continue;
    parts.push(text.slice(done, start), value.before, REDACTED, value.after);
    done = value.end;
    settings.lastIndex = value.end;
  }
  return parts.length === 0 ? text : [...parts, text.slice(done)].join('');
}
