import { basename, dirname, join } from 'node:path';
import { DEFAULT_CONFIG_FILE } from '../../ipam/settings/settings.ts';
import { CommandError } from '../context/errors.ts';
import type { Look } from '../context/file-access.ts';
import type { Choices } from './choices.ts';
import {
  ASIDE,
  currentOf,
  manifestOf,
  programLinks,
  UNIT,
  versionsOf,
  type Layout,
  type Tree,
} from './layout.ts';
import { formatManifest, merge, sha256, wrote, type Manifest } from './manifest.ts';
import { namesCellnet } from './network.ts';
import { ENABLE, RELOAD, RESTART, type Service } from './service.ts';
import { planSharedFile } from './shared-file.ts';
import type { Step } from './steps.ts';
import { isOurUnit } from './unit.ts';
import { halfMade, isOlder, shortDigest } from './versions.ts';

export interface Wanted {
  readonly layout: Layout;
  /** The dist/ to install, as a path of this process. */
  readonly from: string;
  /** Name of its folder below `versions`. */
  readonly version: string;
  /** Undefined: the network file that is there stays. */
  readonly conflist: string | undefined;
  /** Undefined: no systemd unit. */
  readonly unit: string | undefined;
  /** The shared configuration. Undefined: it is the operator's. */
  readonly shared: string | undefined;
  /** Whether a network or unit that was edited here is saved aside and written again. */
  readonly replaceEdited: boolean;
  /** Whether it may be of an earlier release than the version that it replaces. */
  readonly allowDowngrade: boolean;
  /** What a later installation repeats. */
  readonly options: Choices;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** Name of the version that these steps replace. Undefined: there is none, or it stays. */
  readonly replaces: string | undefined;
  /** Facts for the operator that need no step. */
  readonly notes: readonly string[];
}

/** One part of an installation. */
interface Part {
  readonly steps: readonly Step[];
  readonly note?: string;
}

const NOTHING: Part = { steps: [] };

/**
 * Returns the steps for `wanted`, in order: programs, links, agent, and the network last, because
 * the runtime uses the network as soon as its file exists. This function only reads. It returns a
 * plan only when every file to replace is ours.
 * @throws CommandError that names a file of somebody else, or an earlier release
 */
export function planInstall(wanted: Wanted, known: Manifest, tree: Tree, look: Look, service: Service): Plan {
  const { layout, unit, conflist } = wanted;
  const links = programLinks(layout);
  const conf =
    conflist === undefined
      ? keepFile(layout.conf, known, tree, look)
      : planFile(layout.conf, conflist, wanted, known, namesCellnet, tree, look);
  const unitFile = unit === undefined ? NOTHING : planFile(UNIT, unit, wanted, known, isOurUnit, tree, look);
  const switched = planSwitch(wanted, known, tree, look);
  const shared = planSharedFile(tree.at(DEFAULT_CONFIG_FILE), wanted.shared, look);
  const linked = links.flatMap(({ path, target }) => planLink(path, target, layout, tree, look));
  const unitText = unitFile.steps.length > 0 ? unit : look.read(tree.at(UNIT));
  const agent = { version: wanted.version, unit: sha256(unitText ?? '') };
  const folders = [versionsOf(layout), ...[...links.map(({ path }) => path), layout.conf].map(dirname)]
    .concat(unit === undefined ? [] : [dirname(UNIT)])
    .concat(shared.length === 0 ? [] : [dirname(DEFAULT_CONFIG_FILE)])
    .flatMap((folder) => tree.missing(folder));
  const steps = [
    ...[...new Set(folders)].sort().map((path): Step => ({ do: 'make-folder', path: tree.at(path) })),
    ...shared,
    ...switched.steps,
    ...linked,
    ...unitFile.steps,
    ...(unit === undefined ? [] : planService(service, known.agent, agent, conf.steps.length > 0)),
    ...conf.steps,
    ...switched.cleaning,
  ];
  const made = {
    versions: [wanted.version],
    folders,
    links: links.map(({ path }) => path),
    files: {
      ...(conflist !== undefined && conf.steps.length > 0 && { [layout.conf]: [sha256(conflist)] }),
      ...(unit !== undefined && unitFile.steps.length > 0 && { [UNIT]: [sha256(unit)] }),
    },
  };
  const manifest: Manifest = { ...merge(known, made), options: wanted.options };
  const versions = manifest.versions.filter((each) => !switched.outdated.includes(each));
  const done = { ...manifest, versions, ...(service && { agent }) };
  return {
    steps: recorded(steps, tree.at(manifestOf(layout)), known, manifest, done),
    replaces: switched.replaces,
    notes: [switched, unitFile, conf].flatMap(({ note }) => note ?? []),
  };
}

/** Writes the manifest before the first change, and completes it after the last. */
function recorded(
  steps: readonly Step[],
  path: string,
  known: Manifest,
  making: Manifest,
  done: Manifest,
): Step[] {
  if (formatManifest(known) === formatManifest(done)) return [...steps];
  const record = (manifest: Manifest): Step => ({ do: 'record', path, content: formatManifest(manifest) });
  const first = steps.findIndex((step) => step.do !== 'make-folder');
  const at = first < 0 ? steps.length : first;
  return [...steps.slice(0, at), record(making), ...steps.slice(at), record(done)];
}

/**
 * Compares the last recorded start with the present version and unit, so that a failed restart is
 * repeated. A restart succeeds as soon as systemd has a process. So the steps wait for the agent's
 * answer, after a start and before a new network file.
 */
function planService(
  service: Service,
  before: Manifest['agent'],
  now: NonNullable<Manifest['agent']>,
  writesNetwork: boolean,
): Step[] {
  if (!service) return [];
  const unitChanged = before?.unit !== now.unit;
  const restart = unitChanged || before.version !== now.version || !service.active;
  return [
    ...(unitChanged ? [RELOAD] : []),
    ...(service.enabled ? [] : [ENABLE]),
    ...(restart ? [RESTART] : []),
    ...(restart || writesNetwork ? [{ do: 'await-agent', socket: service.socket } as const] : []),
  ];
}

interface Switch {
  readonly steps: readonly Step[];
  /** Follow the restart of the agent. */
  readonly cleaning: readonly Step[];
  /** Names of the versions that these steps remove. */
  readonly outdated: readonly string[];
  readonly replaces: string | undefined;
  readonly note?: string;
}

/**
 * Plans the version's folder and turns `current` to it. The replaced version stays, because running
 * calls finish with it and the operator may go back to it. Older versions go.
 */
function planSwitch(wanted: Wanted, known: Manifest, tree: Tree, look: Look): Switch {
  const { layout, from, version } = wanted;
  const versions = tree.at(versionsOf(layout));
  const folder = join(versions, version);
  const current = tree.at(currentOf(layout));
  const kind = look.kind(current);
  if (kind !== undefined && kind !== 'link')
    throw foreign(current, 'Move it away: the link to the current version has that name.');
  const before = kind === 'link' ? basename(look.readLink(current)) : undefined;
  const isTurned = before !== version;
  const outdated = isTurned ? known.versions.filter((each) => each !== version && each !== before) : [];
  const steps: Step[] = [];
  if (!isWhole(folder, look)) steps.push({ do: 'copy', from, path: folder });
  if (isTurned) steps.push({ do: 'link', path: current, target: join('versions', version) });
  const cleaning = [...outdated, ...halfMade(versions, look)]
    .map((name) => join(versions, name))
    .filter((path) => look.kind(path) !== undefined)
    .map((path): Step => ({ do: 'remove', path }));
  const replaces = isTurned ? before : undefined;
  const plan = { steps, cleaning, outdated, replaces };
  if (replaces === undefined || !isOlder(version, replaces)) return plan;
  if (!wanted.allowDowngrade) throw stepBack(version, replaces);
  const note = `${version} is older than ${replaces}, which it replaces: settings and records that only the newer one knows are refused. Back again: cnictl node install --from ${join(versionsOf(layout), replaces)}`;
  return { ...plan, note };
}

const stepBack = (version: string, before: string): CommandError =>
  new CommandError(
    `${version} is older than ${before}, which this node runs: it refuses records in etcd that only the newer one knows, and pods whose ranges, rules or blocks have such records could not be started`,
    'Add --allow-downgrade when nothing that is new in that version is in use; docs/operations/upgrade.md names it.',
  );

/** Tells whether a version's folder exists with the content that its name states. */
const isWhole = (folder: string, look: Look): boolean =>
  look.kind(folder) === 'folder' && folder.endsWith(`-${shortDigest(folder, look)}`);

/**
 * Replaces a differing link only when it leads into our folder, as an installation by hand does.
 */
function planLink(path: string, target: string, layout: Layout, tree: Tree, look: Look): Step[] {
  const full = tree.at(path);
  const kind = look.kind(full);
  const says = tree.relativeTarget(path, target, layout.libDir);
  if (kind === 'link' && look.readLink(full) === says) return [];
  if (kind !== undefined && !(kind === 'link' && tree.leadsInto(path, layout.libDir)))
    throw foreign(full, 'Move it away, or choose another --bin-dir or --program-dir.');
  return [{ do: 'link', path: full, target: says }];
}

/**
 * Plans to write a file that is missing or that install wrote. A file about cellnet that somebody
 * wrote or edited stays.
 */
function planFile(
  path: string,
  content: string,
  { replaceEdited }: Wanted,
  known: Manifest,
  isAboutUs: (text: string) => boolean,
  tree: Tree,
  look: Look,
): Part {
  const full = tree.at(path);
  tree.real(dirname(path));
  const kind = look.kind(full);
  const text = kind === 'file' ? look.read(full) : undefined;
  if (text === content) return { steps: [] };
  if (kind === undefined || (text !== undefined && wrote(known, path, text)))
    return { steps: [{ do: 'write', path: full, content }] };
  if (text !== undefined && isAboutUs(text))
    return replaceEdited ? replaceEditedFile(full, text, content) : { steps: [], note: keptNote(full) };
  throw foreign(full, 'Move it away, or name another one (--conf, --no-systemd).');
}

/** Leaves a file that earlier options made, and tells when it has other content since. */
function keepFile(path: string, known: Manifest, tree: Tree, look: Look): Part {
  const text = look.read(tree.at(path));
  const isEdited = text !== undefined && !wrote(known, path, text);
  return { steps: [], ...(isEdited && { note: keptNote(tree.at(path)) }) };
}

/** The file is never missing meanwhile: the runtime would take another network. */
function replaceEditedFile(path: string, text: string, content: string): Part {
  const saved = `${path}${ASIDE}`;
  return {
    steps: [
      { do: 'write', path: saved, content: text },
      { do: 'write', path, content },
    ],
    note: `${path} was edited on this node: it is written again, and ${saved} has what it was`,
  };
}

const keptNote = (path: string): string =>
  `${path} is kept: somebody wrote or edited it; remove it to have it made again`;

const foreign = (path: string, remedy: string): CommandError =>
  new CommandError(`'${path}' is not from this installation, and is left alone`, remedy);
