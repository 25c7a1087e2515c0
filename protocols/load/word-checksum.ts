/**
 * CRC32C of 32-bit words, the same value as `checksum` of their little-endian bytes. A record of a
 * series has seven words: a call into the native code costs ten times as much as this loop.
 */
const POLYNOMIAL = 0x82f63b78

const tables = [0, 1, 2, 3].map(() => new Int32Array(256))
const [ZERO = new Int32Array(256), ONE = ZERO, TWO = ZERO, THREE = ZERO] = tables

for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
  ZERO[byte] = crc
}
for (let byte = 0; byte < 256; byte++) {
  let crc = ZERO[byte] ?? 0
  for (const table of [ONE, TWO, THREE]) {
    crc = (crc >>> 8) ^ (ZERO[crc & 0xff] ?? 0)
    table[byte] = crc
  }
}

/** Of the words from `from` to `to` (not included). */
export function wordChecksum(words: Uint32Array, from: number, to: number): number {
  let crc = -1
  for (let i = from; i < to; i++) {
    crc ^= words[i] ?? 0
    crc =
      (THREE[crc & 0xff] ?? 0) ^
      (TWO[(crc >>> 8) & 0xff] ?? 0) ^
      (ONE[(crc >>> 16) & 0xff] ?? 0) ^
      (ZERO[crc >>> 24] ?? 0)
  }
  return ~crc >>> 0
}
