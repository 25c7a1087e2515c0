// Goal: whoever the map names as a holder has the newest word on some chunk, and nobody else.
// Method: random layouts and claims against a table of every chunk; then a large volume, timed.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chunksByNode, effectiveHolders } from '../../crdt/holders.ts'
import type { LayoutRun, PlacementClaim } from '../../crdt/types.ts'
import { compareEpochs, type NodeId, type PlacementEpoch } from '../../protocols/ids.ts'
import { FIRST_TOKEN, spec, volumeId } from '../support/shard-harness.ts'

const EXTENTS = 12
const COLUMNS = 2
const shape = { ...spec(volumeId(1), COLUMNS), generation: 1 }
const anyNode = fc.constantFrom('a', 'b', 'c', 'd', 'e').map(name => name as NodeId)

const layouts = fc.array(
  fc.record({
    from: fc.nat(EXTENTS - 1),
    length: fc.integer({ min: 1, max: EXTENTS }),
    generation: fc.constantFrom(1, 1, 1, 0),
    nodes: fc.tuple(anyNode, anyNode)
  }),
  { maxLength: 6 }
)
const claims = fc.array(
  fc.record({
    extent: fc.nat(EXTENTS - 1),
    generation: fc.constantFrom(1, 1, 1, 0),
    column: fc.nat(COLUMNS - 1),
    node: anyNode
  }),
  { maxLength: 30 }
)

describe('the holders that the map names', () => {
  it('are those with the greatest epoch of some chunk, each once', () => {
    fc.assert(
      fc.property(layouts, claims, fc.nat(), (runs, list, seed) => {
        const count = runs.length + list.length
        // Every record has an epoch of its own, in an order that has nothing to do with theirs.
        const epochs = Array.from({ length: count }, (_, i) => ((i + 1) * 7919 + seed) % 7907)
        const epoch = (i: number): PlacementEpoch => ({
          token: FIRST_TOKEN,
          counter: (epochs[i] ?? 0) * count + i
        })
        const layout: LayoutRun[] = runs.map(({ from, length, generation, nodes }, i) => ({
          from,
          to: Math.min(EXTENTS, from + length),
          generation,
          nodes: nodes.map(node => [node]),
          epoch: epoch(i)
        }))
        const placed: PlacementClaim[] = list.map((claim, i) => ({
          ...claim,
          replica: 0,
          epoch: epoch(runs.length + i)
        }))
        const expected = new Map<NodeId, number>()
        for (let column = 0; column < COLUMNS; column++) {
          for (let extent = 0; extent < EXTENTS; extent++) {
            const said = [
              ...layout
                .filter(one => one.generation === 1 && one.from <= extent && extent < one.to)
                .map(one => ({ node: one.nodes[column]?.[0], epoch: one.epoch })),
              ...placed.filter(
                one => one.generation === 1 && one.column === column && one.extent === extent
              )
            ]
            const [best] = said.sort((x, y) => compareEpochs(y.epoch, x.epoch))
            if (best?.node === undefined) continue
            expected.set(best.node, (expected.get(best.node) ?? 0) + 1)
          }
        }
        const view = { spec: shape, layout, claims: placed }
        const found = effectiveHolders(view)
        expect(found.length).toBe(new Set(found).size)
        expect(new Set(found)).toEqual(new Set(expected.keys()))
        expect(chunksByNode(view)).toEqual(expected)
      })
    )
  })

  it('are found in a volume of 16,384 extents with a claim on every second chunk', () => {
    const columns = 8
    const node = (number: number): NodeId => `node${number}` as NodeId
    const nodes = Array.from({ length: columns }, (_, column) => [node(column)])
    const base = { token: FIRST_TOKEN, counter: 1 }
    const layout = [{ from: 0, to: 16_384, generation: 1, nodes, epoch: base }]
    const many: PlacementClaim[] = []
    for (let extent = 0; extent < 16_384; extent += 2) {
      for (let column = 0; column < columns; column++) {
        const epoch = { token: FIRST_TOKEN, counter: 2 + ((extent * 31) % 1_000) }
        const at = { extent, generation: 1, column, replica: 0 }
        many.push({ ...at, epoch, node: node(100 + (extent % 64)) })
      }
    }
    const view = { spec: { ...shape, columns }, layout, claims: many }
    const startedAt = performance.now()
    const found = effectiveHolders(view)
    expect(performance.now() - startedAt).toBeLessThan(1_000)
    expect(found.length).toBe(columns + 32)
  })
})
