// Goal: whoever asks the map for a volume's nodes is told of those that hold chunks, and not of one
// from which everything has moved.
// Method: views with a layout of two runs and claims of every kind.
import { describe, expect, it } from 'vitest'
import { chunksByNode, holderOf } from '../../crdt/holders.ts'
import type { PlacementClaim, VolumeView } from '../../crdt/types.ts'
import type { NodeId, PlacementEpoch, Token } from '../../protocols/ids.ts'
import { ZERO_NONCE } from '../../protocols/ids.ts'
import { GiB, KiB, MiB } from '../../protocols/limits.ts'
import { volumeId } from '../support/shard-harness.ts'

const [A, B, C] = ['a', 'b', 'c'] as [NodeId, NodeId, NodeId]
const token: Token = { counter: 5, attach: ZERO_NONCE }
const at = (counter: number): PlacementEpoch => ({ token, counter })

/** 20 extents on two columns: A and B; since a resize the last four are on B and C. */
function view(claims: readonly PlacementClaim[]): VolumeView {
  const run = { generation: 0, epoch: at(1) }
  return {
    spec: {
      id: volumeId(1),
      extentBytes: 64 * MiB,
      stripeUnitBytes: 64 * KiB,
      columns: 2,
      copies: 1,
      generation: 0
    },
    sizeBytes: GiB + 256 * MiB,
    sizeEpoch: at(1),
    layout: [
      { ...run, from: 0, to: 16, nodes: [[A], [B]] },
      { ...run, from: 16, to: 20, nodes: [[B], [C]] }
    ],
    claims,
    holder: undefined,
    expectedIops: undefined,
    near: undefined,
    zone: undefined,
    patterns: [],
    policy: { isOn: true }
  }
}

function claim(extent: number, column: number, node: NodeId, counter = 2): PlacementClaim {
  return { extent, generation: 0, column, replica: 0, epoch: at(counter), node }
}

describe('the holders of a volume', () => {
  it('are those of the layout', () => {
    expect(Object.fromEntries(chunksByNode(view([])))).toEqual({ a: 16, b: 20, c: 4 })
  })

  it('change with claims of a greater epoch, and with no other', () => {
    const moved = [claim(3, 0, C), claim(4, 0, C, 0)]
    expect(Object.fromEntries(chunksByNode(view(moved)))).toEqual({ a: 15, b: 20, c: 5 })
    const chunk = { generation: 0, column: 0, replica: 0 }
    expect(holderOf(view(moved), { ...chunk, extent: 3 })).toBe(C)
    expect(holderOf(view(moved), { ...chunk, extent: 4 })).toBe(A)
    expect(holderOf(view(moved), { ...chunk, extent: 17 })).toBe(B)
    expect(holderOf(view(moved), { ...chunk, extent: 50 })).toBeUndefined()
  })

  it('do not name a node from which every chunk has gone', () => {
    const all = Array.from({ length: 16 }, (_, extent) => claim(extent, 0, C))
    expect([...chunksByNode(view(all)).keys()].sort()).toEqual([B, C])
    expect([...chunksByNode(view(all.slice(1))).keys()].sort()).toEqual([A, B, C])
  })
})
