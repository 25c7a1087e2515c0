/**
 * Exponentials and logarithms out of + - * / alone.
 *
 * V8 has changed its own between versions, and a forecast must not depend on the version of Node:
 * IEEE 754 fixes the four operations and the square root, so these give the same bits everywhere.
 *
 * Invariants: relative error below 1e-14; monotone to that error; the ends saturate like Math's.
 */
const LN2_HIGH = 0.693145751953125
const LN2_LOW = 1.4286068203094173e-6
const LN2_INVERSE = Math.LOG2E
const SQRT2 = Math.SQRT2
const GREATEST_EXPONENT = 709.78
const LEAST_EXPONENT = -708.39

const POWERS = powersOfTwo()
const DOUBLE = new Float64Array(1)
const BITS = new BigUint64Array(DOUBLE.buffer)
const WORDS = new Uint32Array(DOUBLE.buffer)
/** Index of the word with sign and exponent: the byte order is the machine's. */
const HIGH = highWord()

export function exp(x: number): number {
  if (!(x < GREATEST_EXPONENT)) return Number.isNaN(x) ? x : Number.POSITIVE_INFINITY
  if (x < LEAST_EXPONENT) return 0
  const k = Math.round(x * LN2_INVERSE)
  const r = x - k * LN2_HIGH - k * LN2_LOW
  let sum = 1
  for (let n = 13; n >= 1; n--) sum = 1 + (r / n) * sum
  return sum * (POWERS[k + 1023] ?? 0)
}

/** Natural logarithm of x > 0; -Infinity at 0, NaN below. */
export function ln(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN
  if (x === Number.POSITIVE_INFINITY) return x
  if (x < 2.2250738585072014e-308) return ln(x * 18014398509481984) - 54 * (LN2_HIGH + LN2_LOW)
  DOUBLE[0] = x
  const high = WORDS[HIGH] ?? 0
  let exponent = (high >>> 20) - 1023
  WORDS[HIGH] = (high & 0xfffff) | 0x3ff00000
  let mantissa = DOUBLE[0]
  if (mantissa > SQRT2) {
    mantissa /= 2
    exponent++
  }
  const s = (mantissa - 1) / (mantissa + 1)
  const square = s * s
  let sum = 1 / 23
  for (let n = 21; n >= 1; n -= 2) sum = 1 / n + square * sum
  return exponent * LN2_HIGH + (2 * s * sum + exponent * LN2_LOW)
}

/** ln(1 + x), exact for small x (Kahan's correction). */
export function ln1p(x: number): number {
  const u = 1 + x
  if (u === 1) return x
  return u === Number.POSITIVE_INFINITY ? u : (ln(u) * x) / (u - 1)
}

/** exp(x) - 1, exact for small x. */
export function expm1(x: number): number {
  if (x > 0.3 || x < -0.3) return exp(x) - 1
  let sum = 1
  for (let n = 14; n >= 2; n--) sum = 1 + (x / n) * sum
  return x * sum
}

export function tanh(x: number): number {
  if (x > 20) return 1
  if (x < -20) return -1
  const e = expm1(2 * x)
  return e / (e + 2)
}

export function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + exp(-x)) : 1 - 1 / (1 + exp(x))
}

/** Log odds of a chance, which is kept away from 0 and 1. */
export function logit(chance: number): number {
  const p = Math.min(1 - 1e-9, Math.max(1e-9, chance))
  return ln(p / (1 - p))
}

/** What is published: six decimals, and never a negative zero. */
export function round6(x: number): number {
  return Math.round(x * 1e6) / 1e6 + 0
}

function powersOfTwo(): Float64Array {
  const powers = new Float64Array(2048)
  for (let k = 0, up = 1; k < 1024; k++, up *= 2) powers[1023 + k] = up
  for (let k = 0, down = 1; k < 1024; k++, down /= 2) powers[1023 - k] = down
  return powers
}

function highWord(): number {
  BITS[0] = 1n << 62n
  return WORDS[1] === 0 ? 0 : 1
}
