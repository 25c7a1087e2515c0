// Goal: a mesh of any size that balances itself by the shipped policy and negotiation never lets a
// chunk swing, never overloads a target by awards that come together, never moves a chunk twice at
// once, and sends messages for its own moves alone; under a load that repeats, moves do not grow.
// Method: small meshes under simulated time, judged at every move (balance/checks.ts); the same with
// one safeguard taken away, which the checks must find. SEED= repeats a run; the sizes up to 1,000
// are in `npm run bench -- balance-scale` and `npm run soak -- --only balance`.
import { describe, expect, it } from 'vitest'
import { seedOfRun } from '../support/process-random.ts'
import { BalanceMesh, type BalanceOptions } from './balance/mesh.ts'
import type { Mistakes } from './balance/mistakes.ts'

const SEED = seedOfRun()

function run(options: Partial<BalanceOptions>) {
  const usual = { nodes: 12, days: 2, judgedFrom: 1, load: 'daily', mode: 'predicted' } as const
  return new BalanceMesh({ ...usual, seed: SEED, ...options }).run()
}

describe('a mesh that balances itself', () => {
  it('holds its invariants with 3 nodes, and with 12 of which some are mute and some boast', () => {
    const small = run({ nodes: 3, days: 3, isCoded: true })
    const strange = run({ mute: 0.1, boasters: 0.1 })
    expect([...small.broken, ...strange.broken]).toEqual([])
    expect(small.compared).toBeGreaterThan(0)
    expect(strange.compared).toBeGreaterThan(10)
  })

  it('is overloaded far less than without', () => {
    const without = run({ mode: 'none' }).figures
    const balanced = run({}).figures
    expect(without.overloaded).toBeGreaterThan(0.005)
    expect(balanced.overloaded).toBeLessThan(without.overloaded / 4)
  })

  it('comes to rest under a constant load, and does not move ever more under a day that repeats', () => {
    const constant = run({ load: 'constant' })
    const repeating = run({ nodes: 3, load: 'repeating', days: 8 })
    expect([...constant.broken, ...repeating.broken]).toEqual([])
    expect(constant.figures.movesByDay.at(-1)).toBe(0)
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
      const { broken } = run({ days: 1, judgedFrom: 0, meanPart: 0.6, mistakes: made })
      expect(
        broken.some(what => finding.test(what)),
        broken.join('\n')
      ).toBe(true)
    })
  }
})
