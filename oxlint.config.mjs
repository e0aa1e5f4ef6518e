/**
 * The rules of eslint.config.mjs for oxlint, which checks the whole tree, types included, in a
 * fifth of the time (docs/decisions/0033). `npm run ok` runs oxlint, `npm run lint` eslint.
 * oxlint refuses a rule that it does not know, so a new rule fails here until it is named below.
 */
import eslint from './eslint.config.mjs';

/** Rules that oxlint does not have. `npm run lint` alone checks them. */
const ONLY_ESLINT = ['@typescript-eslint/no-unsafe-class-instance-assignment'];

/** Rules of typescript-eslint that extend one of eslint. oxlint has both under eslint's name. */
const EXTENDED = [
  'no-array-constructor',
  'no-unused-expressions',
  'no-unused-vars',
  'no-useless-constructor',
];

const nameOf = (rule) => {
  const [, name] = /^@typescript-eslint\/(.*)/.exec(rule) ?? [];
  if (name === undefined) return rule;
  return EXTENDED.includes(name) ? name : `typescript/${name}`;
};

const isOff = (setting) => ['off', 0].includes([setting].flat()[0]);

/** Rules that an earlier part has on. The presets turn off many that were never on. */
const on = new Set();
const translated = (rules) =>
  Object.entries(rules).flatMap(([rule, setting]) => {
    if (ONLY_ESLINT.includes(rule) || (isOff(setting) && !on.has(rule))) return [];
    on.add(rule);
    return [[nameOf(rule), setting]];
  });

export default {
  plugins: ['typescript'],
  jsPlugins: ['./test/prose.mjs'],
  categories: { correctness: 'off' },
  options: { typeAware: true, typeCheck: true, reportUnusedDisableDirectives: 'error' },
  ignorePatterns: eslint.find(({ ignores, rules }) => ignores && !rules).ignores,
  overrides: eslint
    .filter(({ rules }) => rules)
    .map(({ files = ['**/*.ts'], ignores = [], rules }) => ({
      files,
      excludeFiles: ignores,
      rules: Object.fromEntries(translated(rules)),
    })),
};
