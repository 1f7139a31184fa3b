import { getU32 } from "../../base/byte-order.ts";
import type { ClusterId } from "../../base/ids.ts";
import { recordHeaderBytes } from "../../rooms/message-record.ts";
import { DiskFault, type FileBytes, type FileName } from "../disk.ts";
import { decodeFileHeader, fileHeaderBytes, headerMismatch } from "../file-header.ts";
import { formatAbove, NewerFormat } from "../newer-format.ts";
import { type PieceKind, type PieceOwner, pieceFault, pieceHeaderBytes, pieceKinds } from "../piece.ts";
import { ChunkDamage } from "./chunk-damage.ts";
import {
  type ChunkFooter,
  chunkFileFormat,
  chunkMagic,
  decodeFooter,
  decodeTrailer,
  type PieceRef,
  trailerBytes,
} from "./chunk-layout.ts";
import { type ChunkName, dayText } from "./chunk-name.ts";

/** Read at the end of a file in one go: the trailer, and the footer too unless the chunk is very large. */
const tailBytes = 32 * 1024;

/**
 * One chunk file, read with suspicion: what its name and place promise is compared with what its header, footer and
 * pieces say, and what does not agree is `ChunkDamage`, never an answer. Keeps nothing.
 */
export class ChunkFile {
  readonly disk: FileBytes;
  readonly cluster: ClusterId;
  readonly name: ChunkName;
  readonly file: FileName;
  readonly #owner: PieceOwner;

  constructor(disk: FileBytes, cluster: ClusterId, name: ChunkName, file: FileName) {
    this.disk = disk;
    this.cluster = cluster;
    this.name = name;
    this.file = file;
    this.#owner = { group: name.group, number: name.chunk, generation: name.generation };
  }

  damage(offset: number, length: number, what: string): ChunkDamage {
    return new ChunkDamage({ file: this.file, offset, length, what });
  }

  /** The size of the file. Missing is damage: the name was there. */
  async size(): Promise<number> {
    const size = await this.disk.sizeOf(this.file);
    if (size === null) throw this.damage(0, 0, "the file is gone");
    return size;
  }

  /** Rejects with `NewerFormat` for what a newer version wrote: nothing else may be believed of it, nor called damage. */
  async checkHeader(): Promise<void> {
    const bytes = await this.#read(0, fileHeaderBytes);
    const newer = formatAbove(chunkFileFormat, bytes, chunkMagic);
    if (newer !== null) throw new NewerFormat(this.file, newer, chunkFileFormat);
    const header = decodeFileHeader(bytes, chunkMagic);
    if (typeof header === "string") throw this.damage(0, fileHeaderBytes, header);
    const mismatch = headerMismatch(header, {
      magic: chunkMagic,
      format: chunkFileFormat,
      cluster: this.cluster,
      incarnation: null,
      group: this.name.group,
      number: this.name.chunk,
      generation: this.name.generation,
    });
    if (mismatch !== null) throw this.damage(0, fileHeaderBytes, mismatch);
  }

  /** Reads trailer and footer, and compares them with the file's name. `tail` is the footer piece and the trailer as they stand. */
  async readFooter(): Promise<{ footer: ChunkFooter; tail: Uint8Array; tailOffset: number }> {
    const size = await this.size();
    const start = Math.max(0, size - tailBytes);
    let end = await this.#read(start, size - start);
    const trailerAt = Math.max(0, size - trailerBytes);
    const trailer = decodeTrailer(
      end.subarray(Math.max(0, end.length - trailerBytes)),
      size,
      this.name.chunk,
      this.name.generation,
    );
    if (typeof trailer === "string") throw this.damage(trailerAt, size - trailerAt, trailer);
    if (trailer.footerOffset < start) end = await this.#read(trailer.footerOffset, size - trailer.footerOffset);
    const tail = end.subarray(end.length - trailerBytes - trailer.footerLength);
    const piece = tail.subarray(0, trailer.footerLength);
    const place = { kind: pieceKinds.footer, number: 0, offset: trailer.footerOffset };
    const fault = pieceFault(piece, this.#owner, place);
    const footer = fault ?? decodeFooter(piece.subarray(pieceHeaderBytes), trailer.footerOffset);
    if (typeof footer === "string") throw this.damage(trailer.footerOffset, trailer.footerLength, footer);
    const { format } = footer.meta;
    if (format > chunkFileFormat) throw new NewerFormat(this.file, format, chunkFileFormat);
    const mismatch = this.#mismatch(footer);
    if (mismatch !== null) throw this.damage(trailer.footerOffset, trailer.footerLength, mismatch);
    return { footer, tail, tailOffset: trailer.footerOffset };
  }

  #mismatch(footer: ChunkFooter): string | null {
    const { meta, totals } = footer;
    const { name } = this;
    if (meta.format !== chunkFileFormat)
      return `format ${meta.format} is not the ${chunkFileFormat} this version reads`;
    if (meta.cluster !== this.cluster) return `it belongs to cluster ${meta.cluster}, not to ${this.cluster}`;
    if (meta.group !== name.group || meta.chunk !== name.chunk || meta.generation !== name.generation) {
      return `it is chunk ${meta.chunk} of group ${meta.group}, generation ${meta.generation}`;
    }
    if (meta.day !== name.day) return `it is a chunk of the day ${meta.day}, filed under ${dayText(name.day)}`;
    if (meta.from > meta.to) return "it ends before it begins";
    // Whoever allocates by these numbers may trust them from here on.
    if (totals.messages * recordHeaderBytes > totals.recordBytes || totals.rooms > totals.messages)
      return "its totals can't be right";
    let blockBytes = 0;
    for (const block of footer.blocks) blockBytes += block.length - pieceHeaderBytes;
    if (blockBytes !== totals.recordBytes) return "its blocks do not hold the bytes it counts";
    return null;
  }

  /** Reads one piece and answers its payload, checked against its own header and the footer. */
  async readPiece(kind: PieceKind, number: number, ref: PieceRef): Promise<Uint8Array> {
    const piece = await this.#read(ref.offset, ref.length);
    const fault =
      pieceFault(piece, this.#owner, { kind, number, offset: ref.offset }) ??
      (pieceCrc(piece) === ref.crc ? null : "a piece is whole, but not the one the footer names");
    if (fault !== null) throw this.damage(ref.offset, ref.length, fault);
    return piece.subarray(pieceHeaderBytes);
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    try {
      return await this.disk.read(this.file, offset, length);
    } catch (fault) {
      if (fault instanceof DiskFault && fault.kind === "missing") throw this.damage(offset, length, "the file is gone");
      throw fault;
    }
  }
}

const pieceCrc = (piece: Uint8Array): number => getU32(piece, 0);
