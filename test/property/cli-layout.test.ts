// Goal: the layout rule and the choice of nodes hold their invariants for every mesh and every wish.
// Method: random sizes, expectations and candidates; SEED=n repeats a run.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isFault } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { type LayoutWish, layoutFor } from '../../protocols/layout/layout.ts'
import { type Candidate, choosePlacement, hasRoom } from '../../protocols/layout/placement.ts'
import { BLOCK_BYTES, GiB, KiB, MAX_VOLUME_BYTES, TiB } from '../../protocols/limits.ts'
import { shapeProblem } from '../../protocols/stripe/map.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)
console.log(`cli-layout: SEED=${SEED}`)
const options = { seed: SEED, numRuns: 500 }

const sizes = fc.integer({ min: 1, max: MAX_VOLUME_BYTES / BLOCK_BYTES }).map(n => n * BLOCK_BYTES)
const iops = fc.option(fc.integer({ min: 1, max: 1_000_000 }), { nil: undefined })

describe('layoutFor', () => {
  it('gives a valid shape with a power of two of columns, never more than nodes', () => {
    fc.assert(
      fc.property(sizes, iops, fc.integer({ min: 1, max: 500 }), (sizeBytes, expectedIops, n) => {
        const layout = layoutFor({ sizeBytes, expectedIops, nodesAvailable: n })
        expect(shapeProblem(layout)).toBeUndefined()
        expect(layout.columns).toBeLessThanOrEqual(n)
        expect(Math.log2(layout.columns) % 1).toBe(0)
        expect(Math.log2(layout.stripeUnitBytes) % 1).toBe(0)
        expect(layout.columns === 1).toBe(n === 1)
      }),
      options
    )
  })

  it('never takes fewer columns for a larger size or a higher expectation', () => {
    const columns = (wish: Omit<LayoutWish, 'nodesAvailable'>) =>
      layoutFor({ ...wish, stripeUnitBytes: 64 * KiB, nodesAvailable: 100 }).columns
    fc.assert(
      fc.property(sizes, sizes, iops, (a, b, expectedIops) => {
        const [small, large] = a < b ? [a, b] : [b, a]
        expect(columns({ sizeBytes: small, expectedIops })).toBeLessThanOrEqual(
          columns({ sizeBytes: large, expectedIops })
        )
      }),
      options
    )
  })

  it.each([
    [GiB, undefined, 3, 2, 64 * KiB],
    [GiB, undefined, 1, 1, 64 * KiB],
    [20 * GiB, 2000, 8, 4, 32 * KiB],
    [20 * GiB, 2000, 3, 2, 32 * KiB],
    [TiB, undefined, 100, 32, 64 * KiB],
    [100 * TiB, 100, 100, 64, 1024 * KiB],
    [GiB, 5000, 100, 8, 16 * KiB]
  ])(
    'follows the documented rule: %d bytes, %s IOPS, %d nodes',
    (size, n, nodes, columns, unit) => {
      const layout = layoutFor({ sizeBytes: size, expectedIops: n, nodesAvailable: nodes })
      expect([layout.columns, layout.stripeUnitBytes]).toEqual([columns, unit])
    }
  )

  it('says how many nodes there are when more shards are asked for', () => {
    const attempt = () =>
      layoutFor({ sizeBytes: GiB, expectedIops: undefined, nodesAvailable: 3, shards: 4 })
    expect(attempt).toThrow('there are 3 nodes')
    expect(faultOf(attempt)).toMatchObject({ code: 'TOO_FEW_NODES', wanted: 4, available: 3 })
  })

  it('says that there is no capacity when no node has room', () => {
    const attempt = () => layoutFor({ sizeBytes: GiB, expectedIops: undefined, nodesAvailable: 0 })
    expect(faultOf(attempt)).toMatchObject({ code: 'NO_CAPACITY' })
  })

  it.each([
    { shards: 0 },
    { shards: -1 },
    { shards: 1.5 },
    { shards: 257 },
    { stripeUnitBytes: 4097 },
    { stripeUnitBytes: 12 * KiB },
    { stripeUnitBytes: 2 * GiB },
    { stripeUnitBytes: 64 * 1024 * KiB, shards: 2 },
    { expectedIops: 0 },
    { expectedIops: -5 },
    { expectedIops: Number.NaN }
  ])('refuses %j', wish => {
    const attempt = () =>
      layoutFor({ sizeBytes: GiB, expectedIops: undefined, nodesAvailable: 500, ...wish })
    expect(faultOf(attempt)).toMatchObject({ code: 'BAD_INPUT' })
  })
})

const candidates = fc.uniqueArray(
  fc.record({
    node: fc.integer({ min: 0, max: 9999 }).map(n => `node${n}` as NodeId),
    region: fc.constantFrom('eu', 'us', 'ap'),
    host: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
    distanceMs: fc.option(fc.double({ min: 0, max: 300, noNaN: true }), { nil: undefined }),
    iops: fc.integer({ min: 0, max: 100_000 }),
    capacityBytes: fc.constantFrom(0, 100 * GiB),
    availableBytes: fc.integer({ min: 0, max: 100 * GiB })
  }),
  { minLength: 1, maxLength: 30, selector: candidate => candidate.node }
)

describe('choosePlacement', () => {
  it('takes distinct nodes with room, whatever the order of the candidates', () => {
    fc.assert(
      fc.property(candidates, fc.nat(), fc.boolean(), (list, seed, isNear) => {
        const room = list.filter(hasRoom)
        fc.pre(room.length > 0)
        const wish = {
          columns: 1 + (seed % room.length),
          nearRegion: isNear ? 'eu' : undefined
        }
        const chosen = choosePlacement(list, wish)
        expect(new Set(chosen).size).toBe(wish.columns)
        for (const node of chosen) expect(room.map(c => c.node)).toContain(node)
        expect(choosePlacement([...list].reverse(), wish)).toEqual(chosen)
      }),
      options
    )
  })

  it('spreads over regions and hosts when nothing else tells nodes apart', () => {
    const regions = ['ap', 'eu', 'us']
    const list = regions.flatMap(region => ['1', '2'].map(n => node(`${region}${n}`, region)))
    const chosen = choosePlacement(list, { columns: 3 })
    expect(chosen.map(id => id.slice(0, 2)).sort()).toEqual(regions)
  })

  it('stays in the region that was asked for as long as it has nodes', () => {
    const list = ['us1', 'us2', 'eu1', 'eu2'].map(name => node(name, name.slice(0, 2)))
    const chosen = choosePlacement(list, { columns: 3, nearRegion: 'us' })
    expect(chosen.slice(0, 2).sort()).toEqual(['us1', 'us2'])
  })

  it('prefers the near, the idle and the empty node', () => {
    const base = node('zz', 'eu')
    const better: Array<Partial<Candidate>> = [
      { distanceMs: 0.1 },
      { iops: 0 },
      { availableBytes: 99 * GiB }
    ]
    for (const change of better) {
      const worse = { ...base, distanceMs: 80, iops: 50_000, availableBytes: 10 * GiB }
      const best = { ...worse, ...change, node: 'zzz' as NodeId }
      expect(choosePlacement([worse, best], { columns: 1 })).toEqual(['zzz'])
    }
  })
})

function node(name: string, region: string): Candidate {
  const capacityBytes = 100 * GiB
  return {
    node: name as NodeId,
    region,
    host: name,
    distanceMs: 1,
    iops: 0,
    capacityBytes,
    availableBytes: capacityBytes
  }
}

function faultOf(attempt: () => unknown): unknown {
  try {
    attempt()
  } catch (error) {
    return isFault(error) ? error.fault : error
  }
  return undefined
}
