// Goal: the plan of a drain loses no chunk, fills no node beyond its room, keeps failure domains
// apart where it can, and says exactly what is missing.
// Method: random meshes and pieces; SEED=n repeats a run. Then the choices that people expect.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { type DrainWish, type Piece, planDrain } from '../../protocols/layout/drain.ts'
import { type Candidate, MIN_ROOM_BYTES } from '../../protocols/layout/placement.ts'
import { GiB, MiB } from '../../protocols/limits.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)
console.log(`layout-drain: SEED=${SEED}`)
const options = { seed: SEED, numRuns: 300 }

const SELF = { node: 'self' as NodeId, host: 'host-self' }
const volume = (n: number) => `volume${n}` as VolumeId

const candidates = fc
  .array(
    fc.record({
      region: fc.constantFrom('eu', 'us'),
      host: fc.constantFrom('host-self', 'h1', 'h2', 'h3'),
      iops: fc.integer({ min: 0, max: 5_000 }),
      availableBytes: fc.integer({ min: 0, max: 4 * GiB })
    }),
    { maxLength: 6 }
  )
  .map(list =>
    list.map(
      (one, i): Candidate => ({
        ...one,
        node: `node${i}` as NodeId,
        distanceMs: undefined,
        capacityBytes: 8 * GiB
      })
    )
  )

const pieces = fc
  .array(
    fc.record({
      volume: fc.integer({ min: 0, max: 2 }).map(volume),
      column: fc.integer({ min: 0, max: 3 }),
      extents: fc.integer({ min: 1, max: 50 }),
      perExtent: fc.integer({ min: 0, max: 64 * MiB })
    }),
    { maxLength: 8 }
  )
  .map(list =>
    list.map(
      ({ extents, perExtent, ...one }, i): Piece => ({
        ...one,
        generation: 0,
        replica: 0,
        from: i * 100,
        to: i * 100 + extents,
        bytes: extents * perExtent
      })
    )
  )

function wishOf(list: readonly Piece[], nodes: readonly Candidate[]): DrainWish {
  const ids = [...new Set(list.map(piece => piece.volume))]
  const volumes = ids.map(id => ({ volume: id, distanceMs: new Map(), holders: [] }))
  return { from: SELF, pieces: list, volumes, candidates: nodes }
}

describe('planDrain', () => {
  it('gives every extent one place, or counts what it has no place for', () => {
    fc.assert(
      fc.property(pieces, candidates, (list, nodes) => {
        const plan = planDrain(wishOf(list, nodes))
        const placed = plan.assignments.reduce((sum, { piece }) => sum + piece.bytes, 0)
        expect(placed + plan.missingBytes).toBe(plan.neededBytes)
        const extents = plan.assignments.flatMap(({ piece }) =>
          Array.from({ length: piece.to - piece.from }, (_, i) => piece.from + i)
        )
        expect(new Set(extents).size).toBe(extents.length)
        const wanted = list.reduce((sum, piece) => sum + piece.to - piece.from, 0)
        if (plan.missingBytes === 0) expect(extents.length).toBe(wanted)
      }),
      options
    )
  })

  it('fills no node beyond its room', () => {
    fc.assert(
      fc.property(pieces, candidates, (list, nodes) => {
        const { assignments } = planDrain(wishOf(list, nodes))
        for (const node of nodes) {
          const bytes = assignments
            .filter(({ to }) => to === node.node)
            .reduce((sum, { piece }) => sum + piece.bytes, 0)
          expect(bytes).toBeLessThanOrEqual(Math.max(0, node.availableBytes - MIN_ROOM_BYTES))
        }
      }),
      options
    )
  })

  it('is the same in whatever order the mesh is listed', () => {
    fc.assert(
      fc.property(pieces, candidates, (list, nodes) => {
        const plan = planDrain(wishOf(list, nodes))
        expect(planDrain(wishOf([...list].reverse(), [...nodes].reverse()))).toEqual(plan)
      }),
      options
    )
  })

  it('misses something only if no node has room for one more chunk of it', () => {
    fc.assert(
      fc.property(pieces, candidates, (list, nodes) => {
        const { assignments, missingBytes } = planDrain(wishOf(list, nodes))
        if (missingBytes === 0) return
        const largest = Math.max(...list.map(piece => piece.bytes / (piece.to - piece.from)))
        for (const node of nodes) {
          const given = assignments
            .filter(({ to }) => to === node.node)
            .reduce((sum, { piece }) => sum + piece.bytes, 0)
          const left = node.availableBytes - MIN_ROOM_BYTES - given
          expect(left).toBeLessThan(largest + 1)
        }
      }),
      options
    )
  })
})

const node = (name: string, more: Partial<Candidate> = {}): Candidate => ({
  node: name as NodeId,
  region: 'eu',
  host: `host-${name}`,
  distanceMs: undefined,
  iops: 0,
  capacityBytes: 10 * GiB,
  availableBytes: 8 * GiB,
  ...more
})
const piece = (column: number, more: Partial<Piece> = {}): Piece => ({
  volume: volume(0),
  generation: 0,
  column,
  replica: 0,
  from: 0,
  to: 16,
  bytes: GiB,
  ...more
})

function targets(wish: Partial<DrainWish>): string[] {
  const whole = { ...wishOf(wish.pieces ?? [piece(0)], wish.candidates ?? []), ...wish }
  return planDrain(whole).assignments.map(({ to }) => to)
}

describe('of nodes with room', () => {
  it('takes another host than the one that is emptied, if there is one', () => {
    const near = node('near', { host: SELF.host })
    const far = node('far', { region: 'us' })
    expect(targets({ candidates: [near, far] })).toEqual(['far'])
    expect(targets({ candidates: [near] })).toEqual(['near'])
    const full = node('far', { region: 'us', availableBytes: 0 })
    expect(targets({ candidates: [near, full] })).toEqual(['near'])
  })

  it('spreads the columns of a volume, also over those that hold other columns of it', () => {
    const four = ['a', 'b', 'c', 'd'].map(name => node(name))
    const columns = [0, 1, 2].map(column => piece(column))
    expect(new Set(targets({ pieces: columns, candidates: four })).size).toBe(3)
    const volumes = [{ volume: volume(0), distanceMs: new Map(), holders: ['a' as NodeId] }]
    const used = targets({ pieces: columns, candidates: four, volumes })
    expect([...used].sort()).toEqual(['b', 'c', 'd'])
  })

  it('takes the one that is nearest to where the volume is used', () => {
    const distanceMs = new Map([
      ['a' as NodeId, 40],
      ['b' as NodeId, 2]
    ])
    const volumes = [{ volume: volume(0), distanceMs, holders: [] }]
    const nodes = [node('a'), node('b', { region: 'us' })]
    expect(targets({ candidates: nodes, volumes })).toEqual(['b'])
    const near = [{ volume: volume(0), distanceMs: new Map(), holders: [], nearRegion: 'us' }]
    expect(targets({ candidates: nodes, volumes: near })).toEqual(['b'])
  })

  it('never takes one with another replica of the chunk, nor the one that is emptied', () => {
    const nodes = [node('a'), node('self')]
    expect(targets({ candidates: nodes })).toEqual(['a'])
    const excluded = () => ['a' as NodeId]
    expect(targets({ candidates: nodes, excluded })).toEqual([])
  })

  it('cuts what no node has room for as a whole, and says what is missing in the end', () => {
    const room = (bytes: number) => ({ availableBytes: bytes + MIN_ROOM_BYTES })
    const nodes = [node('a', room(GiB / 2)), node('b', room(GiB / 4))]
    const plan = planDrain(wishOf([piece(0)], nodes))
    expect(
      plan.assignments.map(({ piece: { from, to }, to: target }) => [from, to, target])
    ).toEqual([
      [0, 8, 'a'],
      [8, 12, 'b']
    ])
    expect(plan).toMatchObject({
      neededBytes: GiB,
      availableBytes: (GiB * 3) / 4,
      missingBytes: GiB / 4
    })
  })
})
