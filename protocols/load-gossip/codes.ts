/**
 * Amounts in few bytes, by their logarithm: what counts is a part of the amount, not its last unit.
 *
 *   log16   round(1024 * log2(1 + x)): 0 to 2^60 within 0.04 %; small amounts within 0.001
 *   part    round(254 * x) of 0 to 1, within 0.2 %; 255 says that there is none
 *
 * Invariants: a code never reads as something negative, infinite or not a number; codes keep the
 * order of what they code, so quantiles in order stay in order; a code read and written is the same.
 */
import { assert } from '../assert.ts'

const STEPS = 1024
/** The codes above are never written. */
const MAX_LOG16 = 60 * STEPS
/** From one power of two to the next; a power at each reading would be the cost of a summary. */
const BETWEEN = Float64Array.from({ length: STEPS }, (_, step) => 2 ** (step / STEPS))
const POWERS = Float64Array.from({ length: 61 }, (_, power) => 2 ** power)
const PARTS = 254
const NO_PART = 255
const SKILL_STEPS = 100

/** `amount`: 0 or more; more than 2^60 counts as 2^60. */
export function toLog16(amount: number): number {
  assert(amount >= 0, 'an amount that is coded is 0 or more')
  return Math.min(MAX_LOG16, Math.round(STEPS * Math.log2(1 + amount)))
}

/** Undefined for a code that is never written. */
export function fromLog16(code: number): number | undefined {
  if (code > MAX_LOG16) return undefined
  return (BETWEEN[code % STEPS] ?? 0) * (POWERS[Math.floor(code / STEPS)] ?? 0) - 1
}

/** `part`: 0 to 1, or undefined for none. */
export function toPart(part: number | undefined): number {
  if (part === undefined) return NO_PART
  assert(part >= 0 && part <= 1, 'a part is within 0 and 1')
  return Math.round(part * PARTS)
}

export function fromPart(code: number): number | undefined {
  return code === NO_PART ? undefined : code / PARTS
}

/** Of 1 - error / error of naive: hundredths; less than -1 counts as -1. A signed byte. */
export function toSkill(skill: number): number {
  assert(skill <= 1, 'no skill is greater than 1')
  return Math.round(Math.max(-1, skill) * SKILL_STEPS)
}

export function fromSkill(code: number): number | undefined {
  return Math.abs(code) <= SKILL_STEPS ? code / SKILL_STEPS : undefined
}
