/**
 * A positive number in 16 bits: 6 bits of exponent and 10 of mantissa, cut out of the bits of a
 * 32-bit float. The step between two codes is 1/1024 to 1/2048 of the value, so the error of
 * rounding is at most 1/2048 (0.05 %) from 2^-21 to 2^43; less is 0, more is the greatest code.
 * Bits and not logarithms: the same on every machine.
 *
 * Invariants: codes are ordered as their numbers; toCode(fromCode(c)) === c.
 */
const DROPPED_BITS = 13
const HALF = 1 << (DROPPED_BITS - 1)
/** The code of 2^-21, less the one that stands for zero. */
const BASE = (127 - 21) << 10
export const MAX_CODE = 0xffff
export const CODE_ERROR = 1 / 2048

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

export function toCode(value: number): number {
  float[0] = value
  const code = (((bits[0] ?? 0) + HALF) >>> DROPPED_BITS) - BASE
  return code <= 0 ? 0 : code > MAX_CODE ? MAX_CODE : code
}

export function fromCode(code: number): number {
  if (code === 0) return 0
  bits[0] = (code + BASE) << DROPPED_BITS
  return float[0] ?? 0
}
