/** The file that `npm run bench -- single --save` writes, and `--plot` reads. */
import * as v from 'valibot';

const milliseconds = v.pipe(v.array(v.pipe(v.number(), v.minValue(0))), v.minLength(1));

const schema = v.strictObject({
  v: v.literal(1),
  /** ISO 8601. */
  at: v.pipe(v.string(), v.isoTimestamp()),
  versions: v.strictObject({ cellnet: v.string(), node: v.string() }),
  processors: v.number(),
  /** The first is cellnet with its agent, the last what it is measured beside. */
  contenders: v.pipe(
    v.array(v.strictObject({ name: v.string(), add: milliseconds, del: milliseconds })),
    v.minLength(2),
  ),
  /** `node -e 0`, for scale. */
  bare: milliseconds,
});

/** Every measured value of one run of `single`, in milliseconds. */
export type SavedSingle = Readonly<v.InferOutput<typeof schema>>;

/** @throws Error that names the file and what is wrong in it */
export function parseSaved(text: string, file: string): SavedSingle {
  const problem = (what: string, cause?: unknown): Error =>
    new Error(`${file} is no result of npm run bench -- single --save: ${what}`, { cause });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw problem('it is not JSON', cause);
  }
  const { issues, output, success } = v.safeParse(schema, json);
  if (success) return output;
  throw problem(`${v.getDotPath(issues[0]) ?? 'it'}: ${issues[0].message}`);
}

/** Rounds to hundredths of a millisecond: more is noise, and makes the file long. */
export const formatSaved = (saved: SavedSingle): string => {
  const round = (_key: string, value: unknown): unknown =>
    typeof value === 'number' ? Math.round(value * 100) / 100 : value;
  const rows = JSON.stringify(saved, round).replaceAll(
    /,"(?=(?:at|versions|contenders|bare|name|add|del)")/g,
    ',\n"',
  );
  return `${rows}\n`;
};
