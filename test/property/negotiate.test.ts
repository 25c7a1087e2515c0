// Goal: whatever is lost, doubled, late or lied about: every negotiation ends, and says why; a chunk
// is in one move at most; bidders never promise more space or headroom than there is; a move costs a
// bounded number of messages; in the end nobody has a promise left.
// Method: the shipped machines of sources and bidders over a bad network, with members of every kind;
// judged after every event. SEED= repeats a run.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { considered } from '../../protocols/negotiate/consider.ts'
import {
  ARRIVED_COUNTS_MS,
  MAX_CONSIDERED,
  MAX_LEASE_MS,
  MAX_MESSAGES_PER_MOVE
} from '../../protocols/negotiate/limits.ts'
import {
  negotiateAnswerSchema,
  negotiateRequestSchema
} from '../../protocols/negotiate/messages.ts'
import { backOffMs } from '../../protocols/negotiate/offer.ts'
import { type BidderKind, NegotiateWorld } from '../support/negotiate-world.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const RUN_MS = 2 * HOUR_MS
/** The last move ends, its promise expires, and what has come is not counted any more. */
const AFTER_MS = 4 * HOUR_MS + MAX_LEASE_MS + ARRIVED_COUNTS_MS

const KINDS: readonly BidderKind[] = [
  'honest',
  'honest',
  'honest',
  'boaster',
  'breaker',
  'mute',
  'half-dead',
  'babbler'
]

const wish = fc.record({
  seed: fc.integer({ min: 0, max: 0x7fff_ffff }),
  sources: fc.integer({ min: 1, max: 4 }),
  bidders: fc.array(fc.constantFrom(...KINDS), { minLength: 1, maxLength: 8 }),
  lost: fc.constantFrom(0, 0.05, 0.3),
  doubled: fc.constantFrom(0, 0.2),
  toMs: fc.constantFrom(5, 500, 20_000),
  longestMoveMs: fc.constantFrom(1_000, 10 * MINUTE_MS, 4 * HOUR_MS)
})
type Wish = typeof wish extends fc.Arbitrary<infer T> ? T : never

function worldOf(of: Wish, mayRestart: boolean): NegotiateWorld {
  const { seed, sources, bidders, lost, doubled, toMs, longestMoveMs } = of
  const weather = { lost, doubled, fromMs: 1, toMs }
  const options = { sources, chunks: 6, bidders, weather, longestMoveMs, mayRestart }
  return new NegotiateWorld(new SeededRandom(seed), options)
}

function expectOver(world: NegotiateWorld): void {
  expect(world.ends.size).toBe(world.begun)
  expect(world.moving.size).toBe(0)
  for (const { negotiator, open } of world.sources) {
    expect(negotiator.open).toBe(0)
    expect(open.size).toBe(0)
  }
  const { nowMs } = world.clock
  for (const { ledger } of world.bidders) expect(ledger.promises(nowMs)).toEqual([])
}

describe('negotiations', () => {
  it('end, overbook nobody, and leave nothing behind, in any weather and among liars', () => {
    let moves = 0
    let untouched = 0
    const property = fc.property(wish, of => {
      const world = worldOf(of, false)
      world.run(RUN_MS, RUN_MS + AFTER_MS)
      expectOver(world)
      moves += world.moves
      untouched += world.bidders.filter(({ isJudged }) => isJudged).length
    })
    fc.assert(property, { numRuns: 60, seed: SEED })
    expect(moves).toBeGreaterThan(60)
    expect(untouched).toBeGreaterThan(60)
  })

  it('end also where bidders start again and forget what they promised', () => {
    const property = fc.property(wish, of => {
      const world = worldOf(of, true)
      world.run(RUN_MS, RUN_MS + AFTER_MS)
      expectOver(world)
    })
    fc.assert(property, { numRuns: 20, seed: SEED })
  })

  it('take the best bid in good weather, and tell the others', () => {
    const good: Wish = {
      seed: SEED & 0xffff,
      sources: 3,
      bidders: ['honest', 'honest', 'honest', 'honest'],
      lost: 0,
      doubled: 0,
      toMs: 500,
      longestMoveMs: MINUTE_MS
    }
    const world = worldOf(good, false)
    world.run(RUN_MS, RUN_MS + AFTER_MS)
    const settled = [...world.ends.values()].filter(({ is }) => is === 'settled')
    expect(settled.length).toBeGreaterThan(0)
    expect(world.bidders.every(({ isJudged }) => isJudged)).toBe(true)
    expectOver(world)
  })
})

describe('messages', () => {
  it('of any shape are one or none, and never throw', () => {
    const property = fc.property(fc.anything({ maxDepth: 3 }), value => {
      for (const schema of [negotiateRequestSchema, negotiateAnswerSchema]) {
        const first = schema.safeParse(value)
        if (first.success) expect(schema.parse(first.data)).toEqual(first.data)
      }
    })
    fc.assert(property, { numRuns: 300, seed: SEED })
  })
})

it('considers a bounded number of peers, none twice, the near ones first', () => {
  const sizes = fc.tuple(fc.nat({ max: 200 }), fc.nat({ max: 400 }), fc.nat())
  const property = fc.property(sizes, ([near, far, seed]) => {
    const random = new SeededRandom(seed)
    const list = (count: number, name: string) => Array.from({ length: count }, (_, i) => name + i)
    const [nearby, distant] = [list(near, 'n'), list(far, 'f')]
    const some = considered(nearby, distant, () => random.fraction())
    expect(new Set(some).size).toBe(some.length)
    expect(some.length).toBe(Math.min(near + far, MAX_CONSIDERED))
    const nearCount = some.filter(name => name.startsWith('n')).length
    expect(nearCount).toBeGreaterThanOrEqual(Math.min(near, MAX_CONSIDERED / 2))
  })
  fc.assert(property, { numRuns: 100, seed: SEED })
})

it('backs off within its bounds, never less after more failures', () => {
  const pause = fc.tuple(
    fc.integer({ min: 1, max: 1_000 }),
    fc.double({ min: 0, max: 1, noNaN: true })
  )
  const property = fc.property(pause, ([failures, fraction]) => {
    const ms = backOffMs(failures, fraction)
    expect(ms).toBeGreaterThanOrEqual(30_000)
    expect(ms).toBeLessThanOrEqual(30 * MINUTE_MS)
    expect(backOffMs(failures + 1, fraction)).toBeGreaterThanOrEqual(ms)
  })
  fc.assert(property, { numRuns: 100, seed: SEED })
  expect(MAX_MESSAGES_PER_MOVE).toBeLessThan(100)
})
