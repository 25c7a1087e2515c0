// Goal: a mesh of any size that balances itself by the shipped policy and negotiation never lets a
// chunk swing, never overloads a target by awards that come together, never moves a chunk twice at
// once, and sends messages for its own moves alone; under a load that repeats, moves do not grow.
// Method: small meshes under simulated time, judged at every move (balance/checks.ts); the same with
// one safeguard taken away, which the checks must find. SEED= repeats a run; the sizes up to 1,000
// are in `npm run bench -- balance-scale` and `npm run soak -- --only balance`.
import { describe, expect, it } from 'vitest'
import { seedOfRun } from '../support/process-random.ts'
import type { Mistakes } from './balance/mistakes.ts'
import { type BalanceOptions, runMade } from './balance/run.ts'

const SEED = seedOfRun()
/** So many seeds may be needed to find a mistake; most take one. */
const SEEDS = 10

function run(options: Partial<BalanceOptions>) {
  const usual = { nodes: 12, days: 2, judgedFrom: 1, load: 'daily', mode: 'predicted' } as const
  return runMade({ ...usual, seed: SEED, ...options })
}

describe('a mesh that balances itself', () => {
  it('holds its invariants with 3 nodes, every message encoded', () => {
    const { broken, compared } = run({ nodes: 3, days: 1, judgedFrom: 0, isCoded: true })
    expect(broken).toEqual([])
    expect(compared).toBeGreaterThan(0)
  })

  it('holds them with 12, of which some are mute and some boast, and is overloaded far less', () => {
    const without = run({ mode: 'none' }).figures
    const { broken, compared, figures } = run({ mute: 0.1, boasters: 0.1 })
    expect(broken).toEqual([])
    expect(compared).toBeGreaterThan(10)
    expect(without.overloaded).toBeGreaterThan(0.005)
    expect(figures.overloaded).toBeLessThan(without.overloaded / 2)
  })

  it('comes to rest under a constant load, and does not move ever more under a day that repeats', () => {
    // Strict: from the third day on no day has more moves than the one before, and the last has none.
    for (const nodes of [3, 4]) {
      const { broken, figures } = run({ nodes, load: 'constant', days: 6 })
      expect(broken).toEqual([])
      expect(figures.movesByDay.at(-1)).toBe(0)
    }
    // But for chance: a mesh that is full at its peak goes on moving, no two days the same chunks.
    expect(run({ nodes: 3, load: 'repeating', days: 5 }).broken).toEqual([])
  })
})

describe('a safeguard that is missing is found', () => {
  const mistakes: ReadonlyArray<[string, Mistakes, RegExp]> = [
    [
      'a ledger that ignores its promises',
      { ignoresPromises: true },
      /awards leave|not be bid for/
    ],
    ['no cool-down', { forgetsMoves: true }, /returns after|times within an hour/],
    ['offers of what is under way', { offersTwice: true }, /moves what/]
  ]
  for (const [name, made, finding] of mistakes) {
    it(name, () => {
      const options = { nodes: 6, days: 1, judgedFrom: 0, meanPart: 0.65, mistakes: made }
      const isFound = (seed: number): boolean =>
        run({ ...options, seed }).broken.some(what => finding.test(what))
      expect(Array.from({ length: SEEDS }, (_, i) => SEED + i).some(isFound)).toBe(true)
    })
  }
})
