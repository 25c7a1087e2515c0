/**
 * Simulated meshes that balance themselves, seed after seed, of sizes and among members that follow
 * from the seed, for as long as it is told; ends at the first broken invariant.
 */
import { messageOf } from '../../protocols/fault.ts'
import { type BalanceOptions, runMade } from '../sim/balance/run.ts'
import { streamOf } from '../sim/random.ts'

export interface BalanceSoak {
  readonly meshes: number
  readonly moves: number
  /** In words, with the seed; absent if nothing broke. */
  readonly failure: string | undefined
}

export function soakBalance(minutes: number, from: number): BalanceSoak {
  const endMs = performance.now() + minutes * 60_000
  let moves = 0
  let meshes = 0
  for (let seed = from; performance.now() < endMs; seed++) {
    const options = optionsOf(seed)
    try {
      const { broken, figures } = runMade(options)
      meshes++
      moves += figures.moves
      const [first] = broken
      if (first !== undefined) return { meshes, moves, failure: `seed ${seed}: ${first}` }
    } catch (error) {
      return { meshes, moves, failure: `seed ${seed}: ${messageOf(error)}` }
    }
  }
  return { meshes, moves, failure: undefined }
}

function optionsOf(seed: number): BalanceOptions {
  const random = streamOf(seed, 'options')
  const load = random.pick(['daily', 'daily', 'repeating', 'constant'] as const)
  return {
    nodes: random.pick([3, 12, 40, 100]),
    days: load === 'repeating' ? 8 : 3,
    judgedFrom: 0,
    seed,
    load,
    mode: random.pick(['predicted', 'predicted', 'reactive'] as const),
    meanPart: random.between(0.3, 0.6),
    mute: load === 'daily' ? random.pick([0, 0, 0.1]) : 0,
    boasters: load === 'daily' ? random.pick([0, 0, 0.1]) : 0
  }
}
