// Goal: two copies of one store that made the same start are never mistaken for one, whichever of
// them the map heard of first.
// Method: both starts in a mesh document, in both orders; then a later start.
import { describe, expect, it } from 'vitest'
import { createMeshDocument, meshView, nodeRecord } from '../../crdt/mesh-document.ts'
import type { NodeEntry } from '../../crdt/types.ts'
import { foundCopy } from '../../node/copy-watch.ts'
import { startProblem } from '../../protocols/attach/starts.ts'
import { type Incarnation, ZERO_NONCE } from '../../protocols/ids.ts'
import { nodeIdOf, nonceOf } from '../support/map-records.ts'

const id = nodeIdOf(1)
const first: Incarnation = { number: 2, nonce: nonceOf(0xaaaa) }
const second: Incarnation = { number: 2, nonce: nonceOf(0xbbbb) }

function entryOf(incarnation: Incarnation): NodeEntry {
  return {
    id,
    name: 'weak',
    region: 'eu-north',
    host: 'weak',
    role: 'node',
    capacityBytes: 1024,
    addresses: [`/ip4/127.0.0.1/tcp/${incarnation.nonce === first.nonce ? 1 : 2}`],
    incarnation,
    version: '0'
  }
}

function documentOf(...starts: Incarnation[]) {
  const document = createMeshDocument(7)
  for (const incarnation of starts) {
    const record = nodeRecord(document, entryOf(incarnation))
    if (record !== undefined) document.add([record])
  }
  return document
}

describe('two copies of one store', () => {
  it('are shown as one node whose start is nobody’s, on every replica alike', () => {
    const one = meshView(documentOf(first, second)).nodes.get(id)
    const other = meshView(documentOf(second, first)).nodes.get(id)
    expect(one?.incarnation).toEqual({ number: 2, nonce: ZERO_NONCE })
    expect(one).toEqual(other)
  })

  it.each([first, second])('are both found out, and no gateway believes either: %j', own => {
    for (const document of [documentOf(first, second), documentOf(second, first)]) {
      const view = meshView(document)
      expect(foundCopy(view, id, own)).toContain('another copy')
      expect(startProblem(id, view.nodes.get(id)?.incarnation, own)).toContain('runs twice')
    }
  })

  it('do not go on announcing themselves against each other', () => {
    const document = documentOf(first, second)
    expect(nodeRecord(document, entryOf(first))).toBeUndefined()
    expect(nodeRecord(document, entryOf(second))).toBeUndefined()
  })

  it('are forgotten after a later start', () => {
    const later = { number: 3, nonce: nonceOf(0xcccc) }
    const document = documentOf(first, second, later)
    expect(meshView(document).nodes.get(id)?.incarnation).toEqual(later)
    expect(document.greatest(`node/${id}`)).toHaveLength(1)
  })
})
