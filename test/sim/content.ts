/**
 * What clients write: every sector says which change wrote it, and where it belongs.
 *
 *   sector = [magic, volume, sector number, change number] repeated through all 512 bytes
 *   twin   = such a block, but its last word is the CRC32C of all before it
 *
 * A block that ends in its own CRC has always the same CRC: twins are different blocks that nothing
 * can tell apart by that. So the last word of a block says nothing of who wrote it.
 */
import { checksum } from '../../protocols/checksum.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'

export const SECTOR_BYTES = 512
const MAGIC = 0x5348_4f41
const WORDS = SECTOR_BYTES / 4
const SECTORS_PER_BLOCK = BLOCK_BYTES / SECTOR_BYTES

/** A sector of zeroes: never written, trimmed, or zeroed. */
export const ZEROES = 0
/** Bytes that nobody wrote there. */
export const INVENTED = -1

export function sectorsOf(
  volume: number,
  change: number,
  offset: number,
  length: number
): Uint8Array {
  const words = new Uint32Array(length / 4)
  const first = offset / SECTOR_BYTES
  for (let at = 0; at < words.length; at += 4) {
    words[at] = MAGIC
    words[at + 1] = volume
    words[at + 2] = first + Math.floor(at / WORDS)
    words[at + 3] = change
  }
  return new Uint8Array(words.buffer)
}

/** One aligned block whose CRC32C is that of every other twin. */
export function twinOf(volume: number, change: number, offset: number): Uint8Array {
  const bytes = sectorsOf(volume, change, offset, BLOCK_BYTES)
  const end = BLOCK_BYTES - 4
  new DataView(bytes.buffer).setUint32(end, checksum(bytes.subarray(0, end)), true)
  return bytes
}

/** The change that each sector of `bytes` says it was written by. */
export function changesIn(volume: number, offset: number, parts: readonly Uint8Array[]): number[] {
  const words = wordsOf(parts)
  const found: number[] = []
  const first = offset / SECTOR_BYTES
  for (let at = 0; at < words.length; at += WORDS) {
    found.push(changeOf(words, at, volume, first + at / WORDS))
  }
  return found
}

/** All of it, aligned. */
function wordsOf(parts: readonly Uint8Array[]): Uint32Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return new Uint32Array(bytes.buffer)
}

function changeOf(words: Uint32Array, from: number, volume: number, sector: number): number {
  const change = words[from + 3] ?? 0
  if (words[from] === 0 && change === 0) {
    for (let at = from; at < from + WORDS; at++) if (words[at] !== 0) return INVENTED
    return ZEROES
  }
  const isLast = sector % SECTORS_PER_BLOCK === SECTORS_PER_BLOCK - 1
  const unjudged = isLast ? from + WORDS - 1 : -1
  for (let at = from; at < from + WORDS; at += 4) {
    const isRight =
      words[at] === MAGIC &&
      words[at + 1] === volume &&
      words[at + 2] === sector &&
      (words[at + 3] === change || at + 3 === unjudged)
    if (!isRight) return INVENTED
  }
  return change
}
