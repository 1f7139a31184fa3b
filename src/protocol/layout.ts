import { assert } from "../base/assert.ts";
import { clientFrames, serverFrames } from "./schema.ts";
import type { Field, FrameSpec, Sender } from "./schema.ts";

/**
 * Where everything stands in the binary encoding. All integers are little-endian.
 *
 * ```
 *  0 u32 length    bytes after this field
 *  4 u8  code      type of the frame
 *  5 u8  flags     bit 0: the id is a text; from bit 1 on: the frame's flags, in the order of the schema
 *  6 u16 presence  one bit for each field that may be absent, null or "latest", in the order of the schema
 *  8 u48 id        0 = none, or a text
 * 14 u48 …         whole numbers, in the order of the schema
 *    u16 …         lengths of short texts, in the order of the schema
 *    u32 …         lengths of long texts, in the order of the schema
 *    bytes         short texts, then long texts, then the id when it is a text: what is left
 * ```
 *
 * 1. The header of a frame type has one size; every offset in it is constant.
 * 2. What is absent is 0 and empty, so a reader of the header need not look at the presence bits.
 * 3. Lengths add up to the frame exactly.
 */
export const headAt = { length: 0, code: 4, flags: 5, presence: 6, id: 8, fields: 14 } as const;
/** Bytes of the length field, which does not count itself. */
export const lengthBytes = 4;
/** Bit 0 of `flags`: the id is a text, and it stands last in the frame. */
export const idIsText = 1;

/** Where one field stands. */
export interface Slot {
  readonly name: string;
  readonly field: Field;
  /** Offset of its number or length in the frame; 0 for a flag. */
  readonly at: number;
  /** Its bit in `presence`, or 0 when it is always there. */
  readonly presence: number;
  /** Its bit in `flags`, or 0 when it is not a flag. */
  readonly flag: number;
  /** Bytes of its number or length; 0 for a flag. */
  readonly size: 0 | 2 | 4 | 6;
}

export interface Layout {
  /** The frame's name in the table: `send`, `okSend`. */
  readonly name: string;
  readonly spec: FrameSpec;
  /** All fields, in the order of the schema. */
  readonly slots: readonly Slot[];
  /** The slots that have bytes behind the header, in the order of those bytes. */
  readonly texts: readonly Slot[];
  readonly headerBytes: number;
  readonly presenceMask: number;
  readonly flagsMask: number;
}

/** How a field is held in the header. */
function sizeOf(field: Field): 0 | 2 | 4 | 6 {
  switch (field.type) {
    case "flag":
      return 0;
    case "whole":
      return 6;
    case "text":
    case "stamp":
      return 2;
    case "body":
    case "object":
    case "list":
    case "messages":
      return 4;
  }
}

const mayBeAbsent = (field: Field): boolean =>
  field.optional === true || (field.type === "whole" && (field.nullable === true || field.latest === true));

function layoutOf(name: string, spec: FrameSpec): Layout {
  const fields = Object.entries(spec.fields);
  const offsets = new Map<string, number>();
  let at: number = headAt.fields;
  for (const size of [6, 2, 4]) {
    for (const [fieldName, field] of fields) {
      if (sizeOf(field) !== size) continue;
      offsets.set(fieldName, at);
      at += size;
    }
  }
  let presences = 0;
  let flags = 0;
  const slots = fields.map(
    ([fieldName, field]): Slot => ({
      name: fieldName,
      field,
      at: offsets.get(fieldName) ?? 0,
      presence: mayBeAbsent(field) ? 1 << presences++ : 0,
      flag: field.type === "flag" ? 2 << flags++ : 0,
      size: sizeOf(field),
    }),
  );
  assert(presences <= 16, `${name} has more than 16 fields that may be absent`);
  assert(flags <= 7, `${name} has more than 7 flags`);
  return {
    name,
    spec,
    slots,
    texts: [...slots.filter((slot) => slot.size === 2), ...slots.filter((slot) => slot.size === 4)],
    headerBytes: at,
    presenceMask: 2 ** presences - 1,
    flagsMask: 2 ** (flags + 1) - 1,
  };
}

const layoutsOf = (table: Record<string, FrameSpec>): readonly Layout[] =>
  Object.entries(table).map(([name, spec]) => layoutOf(name, spec));

/** Every frame's layout, by who sends it. */
export const layouts: Readonly<Record<Sender, readonly Layout[]>> = {
  client: layoutsOf(clientFrames),
  server: layoutsOf(serverFrames),
};

const byCode = (list: readonly Layout[]): readonly (Layout | undefined)[] => {
  const found = new Array<Layout | undefined>(256).fill(undefined);
  for (const layout of list) {
    assert(found[layout.spec.code] === undefined, `code ${layout.spec.code} is used twice`);
    found[layout.spec.code] = layout;
  }
  return found;
};

const codes: Readonly<Record<Sender, readonly (Layout | undefined)[]>> = {
  client: byCode(layouts.client),
  server: byCode(layouts.server),
};

/** The layout for a type code, or `undefined` when this sender has no such frame. */
export const layoutByCode = (sender: Sender, code: number): Layout | undefined => codes[sender][code];

/** `t`, and `of` where there is one, as one key. */
export const kindKey = (t: string, of: string | undefined): string => (of === undefined ? t : `${t} ${of}`);

const byKind = (list: readonly Layout[]): ReadonlyMap<string, Layout> =>
  new Map(list.map((layout) => [kindKey(layout.spec.t, layout.spec.of), layout]));

const kinds: Readonly<Record<Sender, ReadonlyMap<string, Layout>>> = {
  client: byKind(layouts.client),
  server: byKind(layouts.server),
};

/** The layout for a `t` (and `of`), or `undefined` when this sender has no such frame. */
export const layoutByKind = (sender: Sender, t: string, of: string | undefined): Layout | undefined =>
  kinds[sender].get(kindKey(t, of));
