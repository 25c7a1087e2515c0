/**
 * What clients write: every sector says which change wrote it, and where it belongs.
 *
 *   sector = [magic, volume, sector number, change number] repeated through all 512 bytes
 */
export const SECTOR_BYTES = 512
const MAGIC = 0x5348_4f41
const WORDS = SECTOR_BYTES / 4

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

/** The change that each sector of `bytes` says it was written by. */
export function changesIn(volume: number, offset: number, parts: readonly Uint8Array[]): number[] {
  const bytes = Uint8Array.from(Buffer.concat(parts))
  const words = new Uint32Array(bytes.buffer)
  const found: number[] = []
  const first = offset / SECTOR_BYTES
  for (let at = 0; at < words.length; at += WORDS) {
    found.push(changeOf(words, at, volume, first + at / WORDS))
  }
  return found
}

function changeOf(words: Uint32Array, from: number, volume: number, sector: number): number {
  const change = words[from + 3] ?? 0
  if (words[from] === 0 && change === 0) {
    for (let at = from; at < from + WORDS; at++) if (words[at] !== 0) return INVENTED
    return ZEROES
  }
  for (let at = from; at < from + WORDS; at += 4) {
    const isRight =
      words[at] === MAGIC &&
      words[at + 1] === volume &&
      words[at + 2] === sector &&
      words[at + 3] === change
    if (!isRight) return INVENTED
  }
  return change
}
