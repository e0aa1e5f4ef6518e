import tseslint from 'typescript-eslint';
import prose from './test/prose.mjs';

/**
 * Foreign packages and the one folder that may import each (STYLE: each package translated in one
 * place). The metrics package has one folder per program.
 */
const homes = {
  etcd3: 'ipam/store/etcd',
  netlink: 'cni/netlink',
  koffi: 'cni/netlink',
  '@kubernetes/client-node': 'cni/kube',
  ws: 'cni/kube',
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
 * The layers of each module, lowest first. A folder imports only earlier ones
 * (docs/architecture.md), so no two folders import one another.
 */
const LAYERS = {
  ipam: [
    'model',
    'files',
    'records',
    'settings',
    'store',
    'node',
    'release',
    'allocate',
    'query',
    'events',
    'map',
    'audit',
    'ranges',
    'rules',
  ],
  cni: [
    'protocol',
    'subprocess',
    'nftables',
    'netlink',
    'ovsdb',
    'openflow',
    'kube',
    'services',
    'dataplane',
    'platform',
    'attach',
    'deferred',
    'reconcile',
    'address',
    'verbs',
    'host',
    'agent',
  ],
  cnictl: [
    'render',
    'context',
    'uplink',
    'install',
    'doctor',
    'backup',
    'check',
    'node',
    'connectivity',
    'overview',
    'support',
    'page',
    'serve',
    'map',
    'commands',
    'completion',
    'manual',
    'program',
  ],
};
/** Folders of I/O: named for a technology, or this host's part of the platform. */
const IO = [
  'ipam/files',
  'ipam/store/etcd',
  'cni/subprocess',
  'cni/nftables',
  'cni/netlink',
  'cni/ovsdb',
  'cni/openflow',
  'cni/kube',
  'cni/host',
];

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
 * Returns the import rules of one layer: nothing from a later layer or a higher module, and in ipam
 * no I/O.
 * @param io true when this part of the layer is the I/O itself
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

/**
 * Time, randomness and timers enter the core and the agent as values, so that a simulator can run
 * them (rule 9).
 */
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

/**
 * A duration or deadline by the wall clock is wrong when the clock is set. So only the edges read
 * it: those that store a time, compare it with another machine's, or need a date for a library.
 */
const WALL_CLOCK = {
  files: ['{ipam,cni,cnictl}/**/*.ts'],
  ignores: [
    'cni/host/{effects,boot}.ts',
    'cni/kube/{client,connect}.ts',
    'ipam/store/etcd/{client,inspect}.ts',
  ],
  rules: {
    'no-restricted-properties': [
      'error',
      {
        object: 'Date',
        property: 'now',
        message: 'Deadlines and durations go by performance.now(), or Effects.monotonic.',
      },
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
      // Code removes a record's known fields one by one; the rest is what a later release added.
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
  // For one file, a later entry replaces an earlier one, so order matters. The next two are the
  // programs, which stand above the layers of their module.
  imports('cni', UPWARDS.cni),
  imports('cnictl'),
  ...Object.entries(LAYERS).flatMap(([module, layers]) => layers.map((name) => layer(module, name))),
  layer('ipam', 'store', 'ipam/store/etcd', true),
  layer('ipam', 'files', 'ipam/files', true),
  WALL_CLOCK,
  EFFECTS,
  { plugins: { cellnet: prose }, rules: { 'cellnet/prose': 'error' } },
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
