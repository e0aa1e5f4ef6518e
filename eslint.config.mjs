import tseslint from 'typescript-eslint';

/** Foreign packages that have exactly one home (STYLE: each package translated in one place); metrics have one for each program. */
const homes = {
  etcd3: 'ipam/store/etcd',
  netlink: 'cni/netlink',
  koffi: 'cni/netlink',
  '@kubernetes/client-node': 'cni/kube',
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

/**
 * The layers of each module, lowest first: a folder imports only those before it (docs/architecture.md). So no two folders, and
 * no two files of different folders, import one another.
 */
const LAYERS = {
  ipam: ['model', 'records', 'settings', 'store', 'node', 'release', 'allocate', 'query', 'audit', 'ranges'],
  cni: [
    'protocol',
    'netlink',
    'ovsdb',
    'kube',
    'platform',
    'attach',
    'deferred',
    'reconcile',
    'address',
    'verbs',
    'host',
    'agent',
  ],
  cnictl: ['render', 'context', 'install', 'doctor', 'backup', 'check', 'node', 'commands', 'program'],
};
/** Folders of I/O: what is named for a technology, this host's part of the platform, and the programs themselves. */
const IO = ['ipam/store/etcd', 'cni/netlink', 'cni/ovsdb', 'cni/kube', 'cni/host'];

const arrow = (regex, message) => ({ regex, message });
const NOT_TEST = arrow('(^|/)test/', 'Sources never import tests.');
const UPWARDS = {
  ipam: arrow('(^|/)(cni|cnictl)/', 'Arrows run cnictl -> cni -> ipam: ipam knows nothing of the others.'),
  cni: arrow('(^|/)cnictl/', 'Nothing imports cnictl: move the thing to the lowest module that needs it.'),
};
const PURE = 'This file is pure: I/O lives in folders named for a technology, time comes in as Effects.';
const NO_IO = [
  arrow('^(node:)?(fs|net|tls|dgram|child_process|http|https|os|process|timers)(/|$)', PURE),
  arrow('(^|/)etcd/', PURE),
];

const imports = (folder, ...patterns) => ({
  files: [`${folder}/**/*.ts`],
  rules: {
    'no-restricted-imports': ['error', { patterns: [NOT_TEST, ...packagesForbiddenIn(folder), ...patterns] }],
  },
});

/**
 * The rules of one layer: nothing of a later one, nothing of another module that is higher; in ipam no I/O either.
 * @param io whether this part of the layer is the I/O itself
 */
const layer = (module, name, folder = `${module}/${name}`, io = false) => {
  const layers = LAYERS[module];
  const later = layers.slice(layers.indexOf(name) + 1);
  const patterns = [
    ...(UPWARDS[module] ? [UPWARDS[module]] : []),
    ...(later.length > 0
      ? [
          arrow(
            `^(\\.\\./)+(${later.join('|')})/`,
            `${module}/${name} is below: ${layers.join(' <- ')}. Move the thing to the lower of both.`,
          ),
        ]
      : []),
    ...(module === 'ipam' && !io ? NO_IO : []),
  ];
  return imports(folder, ...patterns);
};

/** Time, chance and timers come into the core and the agent as values, so that a simulator can run them (rule 9). */
const EFFECTS = {
  files: ['ipam/**/*.ts', 'cni/**/*.ts'],
  ignores: [...IO.map((folder) => `${folder}/**`), 'cni/*.ts', 'cni/agent/client.ts'],
  rules: {
    'no-restricted-globals': [
      'error',
      ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'performance'].map((name) => ({
        name,
        message: 'Take it from Effects (ipam/model/effects.ts).',
      })),
    ],
    'no-restricted-properties': [
      'error',
      { object: 'Date', property: 'now', message: 'Take it from Effects (ipam/model/effects.ts).' },
      { object: 'Math', property: 'random', message: 'Take it from Effects (ipam/model/effects.ts).' },
    ],
  },
};

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '**/*.mjs'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      // A record's fields are taken out one by one, and the rest is what a later release has added.
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
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
  // The programs, which stand above the layers of their module.
  imports('cni', UPWARDS.cni),
  imports('cnictl'),
  ...Object.entries(LAYERS).flatMap(([module, layers]) => layers.map((name) => layer(module, name))),
  layer('ipam', 'store', 'ipam/store/etcd', true),
  EFFECTS,
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
