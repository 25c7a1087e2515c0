// Goal: a store that is older than the mesh remembers, or one of two copies, is found out.
// Method: mesh views in which this node's last known start is older, equal, newer or a twin.
import { describe, expect, it } from 'vitest'
import type { MeshView, NodeEntry } from '../../crdt/types.ts'
import { foundCopy } from '../../node/copy-watch.ts'
import type { Incarnation, NodeId, Nonce } from '../../protocols/ids.ts'

const self = '12D3KooWSelf' as NodeId
const start = (number: number, nonce: string): Incarnation => ({ number, nonce: nonce as Nonce })

function viewWith(incarnation: Incarnation | undefined): MeshView {
  const entry = { id: self, incarnation } as NodeEntry
  return {
    nodes: new Map(incarnation === undefined ? [] : [[self, entry]]),
    volumes: new Map(),
    ambiguousNames: new Map(),
    tombstones: new Map(),
    revocations: new Map(),
    links: []
  }
}

describe('the watch for copies', () => {
  const present = start(5, 'aaaaaaaaaaaaaaaa')

  it('says nothing of the first start, of a later one and of the announced one', () => {
    expect(foundCopy(viewWith(undefined), self, present)).toBeUndefined()
    expect(foundCopy(viewWith(start(4, 'bbbbbbbbbbbbbbbb')), self, present)).toBeUndefined()
    expect(foundCopy(viewWith(present), self, present)).toBeUndefined()
  })

  it('finds a store that was restored from an older copy', () => {
    expect(foundCopy(viewWith(start(9, 'bbbbbbbbbbbbbbbb')), self, present)).toContain('restored')
  })

  it('finds a twin that was started as often', () => {
    expect(foundCopy(viewWith(start(5, 'bbbbbbbbbbbbbbbb')), self, present)).toContain('copy')
  })
})
