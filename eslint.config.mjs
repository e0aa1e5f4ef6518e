import tseslint from 'typescript-eslint';

/** Foreign packages that have exactly one home (STYLE: each package translated in one place); metrics have one for each program. */
const homes = {
  etcd3: 'ipam/etcd',
  netlink: 'cni/netlink',
  koffi: 'cni/netlink',
  '@kubernetes/client-node': 'cnictl/kube',
  commander: 'cnictl',
  'ipaddr.js': 'ipam',
  pino: 'cni',
  'prom-client': ['cni/agent', 'cnictl/check'],
};

const packagesForbiddenIn = (folder) =>
  Object.entries(homes)
    .filter(([, home]) => ![home].flat().some((each) => folder.startsWith(each)))
    .map(([name, home]) => ({
      regex: `^${name.replaceAll('.', '\\.').replaceAll('/', '\\/')}(/|$)`,
      message: `${name} has its home: ${home}/. Go through that module.`,
    }));

const arrow = (regex, message) => ({ regex, message });
const NOT_CNICTL = arrow(
  '(^|/)cnictl/',
  'Nothing imports cnictl: move the thing to the lowest module that needs it.',
);
const NOT_CNI = arrow('(^|/)cni/', 'ipam knows nothing of cni: arrows run cni -> ipam and cnictl -> ipam.');
const NOT_TEST = arrow('(^|/)test/', 'Sources never import tests.');
const NO_IO = [
  arrow(
    '^(node:)?(fs|net|tls|dgram|child_process|http|https|os|process)(/|$)',
    'This file is pure: I/O lives in folders named for a technology.',
  ),
  arrow(
    '(^|/)(etcd|netlink|ovsdb|agent)/',
    'This file is pure: I/O lives in folders named for a technology.',
  ),
];

const imports = (folder, ...patterns) => ({
  files: [`${folder}/**/*.ts`],
  rules: {
    'no-restricted-imports': ['error', { patterns: [NOT_TEST, ...packagesForbiddenIn(folder), ...patterns] }],
  },
});

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '**/*.mjs'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  // Order matters: for one file, a later entry replaces an earlier one.
  imports('ipam', NOT_CNI, NOT_CNICTL, ...NO_IO),
  imports('ipam/etcd', NOT_CNI, NOT_CNICTL),
  imports('cni', NOT_CNICTL),
  imports('cni/netlink', NOT_CNICTL),
  imports('cni/ovsdb', NOT_CNICTL),
  imports('cni/agent', NOT_CNICTL),
  imports('cnictl'),
  imports('cnictl/kube'),
  imports('cnictl/check'),
  {
    files: ['test/**/*.ts'],
    rules: {
      // node:test returns promises that its runner awaits.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            {
              from: 'package',
              name: ['test', 'it', 'describe', 'suite', 'before', 'after', 'beforeEach', 'afterEach'],
              package: 'node:test',
            },
          ],
        },
      ],
      'no-console': 'off',
    },
  },
);
