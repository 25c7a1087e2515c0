/**
 * Randomness of a simulation: one generator per concern, each derived from the seed and a name, so
 * that one concern that asks once more shifts no other.
 */
import type { Random } from '../../node/ports.ts'
import { SeededRandom } from '../support/process-random.ts'

export class SimRandom extends SeededRandom {
  /** From `low` to `high`, in steps of a microsecond. */
  between(low: number, high: number): number {
    return Math.round((low + this.fraction() * (high - low)) * 1000) / 1000
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  oneOf<T>(choices: readonly T[]): T | undefined {
    return choices[this.below(Math.max(1, choices.length))]
  }

  /** One of the keys, as often as its weight says. */
  weighted<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K {
    const entries = Object.entries(weights) as Array<[K, number]>
    let left = this.fraction() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [key, weight] of entries) {
      left -= weight
      if (left < 0) return key
    }
    throw new Error('there is nothing to choose from')
  }
}

export function streamOf(seed: number, concern: string): SimRandom {
  let hash = (seed ^ 0x9e37_79b9) >>> 0
  for (const letter of concern) {
    hash = Math.imul(hash ^ letter.charCodeAt(0), 0x0100_0193) >>> 0
    hash = (hash ^ (hash >>> 13)) >>> 0
  }
  const random = new SimRandom(Math.imul(hash, 0x85eb_ca6b) >>> 0)
  for (let i = 0; i < 4; i++) random.fraction()
  return random
}

/** The port of one start of one node. */
export function randomPort(random: SimRandom): Random {
  return {
    bytes: length => new Uint8Array(random.bytes(length)),
    fraction: () => random.fraction()
  }
}
