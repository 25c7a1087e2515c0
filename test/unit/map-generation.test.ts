// Goal: a document that grew is rewritten without losing what it says, and members whose
// generations differ agree again, whoever rewrote and whatever was announced meanwhile.
// Method: documents with many pruned claims; replicas and maps in one process.
import { describe, expect, it } from 'vitest'
import {
  compareGenerations,
  FIRST_GENERATION,
  keepsAt,
  nextGeneration,
  wasAwayTooLong
} from '../../crdt/generation.ts'
import { REWRITE_BYTES } from '../../crdt/limits.ts'
import type { MeshRecord } from '../../crdt/mesh-document.ts'
import { createMeshDocument, meshView } from '../../crdt/mesh-document.ts'
import { createVolumeDocument, volumeView } from '../../crdt/volume-document.ts'
import type { ReplicaChange } from '../../node/map/replica.ts'
import { Replica } from '../../node/map/replica.ts'
import { MapMesh } from '../support/map-mesh.ts'
import {
  claimOf,
  epochOf,
  nameRecordOf,
  nodeIdOf,
  nonceOf,
  specOf,
  tokenOf,
  tombstoneOf,
  volumeIdOf
} from '../support/map-records.ts'
import { deliver } from '../support/map-replicas.ts'

const DAY_MS = 24 * 3_600_000

describe('a generation', () => {
  it('is greater by number, then by id', () => {
    const second = nextGeneration(FIRST_GENERATION, nonceOf(1))
    expect(compareGenerations(second, FIRST_GENERATION)).toBeGreaterThan(0)
    expect(compareGenerations(second, { number: 2, id: nonceOf(2) })).toBeLessThan(0)
    expect(compareGenerations(second, second)).toBe(0)
  })

  it('forgets a tombstone only when it outlived its time, and no node keeps names longer', () => {
    const retentionMs = 100 * DAY_MS
    const keeps = keepsAt(200 * DAY_MS, retentionMs)
    expect(keeps(tombstoneOf(1, 1, 100 * DAY_MS))).toBe(true)
    expect(keeps(tombstoneOf(1, 1, 99 * DAY_MS))).toBe(false)
    expect(keeps(nameRecordOf(1, 'a', 1))).toBe(true)
    expect(wasAwayTooLong(0, 89 * DAY_MS, retentionMs)).toBe(false)
    expect(wasAwayTooLong(0, 91 * DAY_MS, retentionMs)).toBe(true)
  })
})

describe('a replica', () => {
  it('is rewritten once it is mostly bones, and says the same', () => {
    const { replica, changes } = replicaOf(1)
    for (let n = 1; replica.encode().length <= REWRITE_BYTES; n++) {
      replica.add(Array.from({ length: 200 }, (_, i) => nameRecordOf(i, `v-${n}`, n)))
    }
    const before = meshView(replica.set)
    expect(replica.tidy()).toBe(true)
    expect(replica.generation.number).toBe(2)
    expect(meshView(replica.set)).toEqual(before)
    expect(replica.set.updateBytes).toBeLessThan(REWRITE_BYTES / 10)
    expect(changes.at(-1)?.begins).toBe(true)
    expect(replica.tidy()).toBe(false)
  })

  it('adopts a greater generation and adds what only it said', () => {
    const [a, b] = [replicaOf(1).replica, replicaOf(2).replica]
    a.add([nameRecordOf(1, 'a', 1), nameRecordOf(2, 'both', 1)])
    b.add([nameRecordOf(3, 'b', 1), nameRecordOf(2, 'newer', 2)])
    a.rewrite()
    expect(b.receive(a.generation, a.encode()).is).toBe('newer')
    expect(b.receiveWhole(a.generation, a.encode()).is).toBe('applied')
    expect(b.generation).toEqual(a.generation)
    expect(a.receive(b.generation, b.encode()).is).toBe('applied')
    const names = [...meshView(a.set).volumes.values()].map(volume => volume.name)
    expect(names.sort()).toEqual(['a', 'b', 'newer'])
    expect(a.head()).toEqual(b.head())
  })

  it('keeps its generation when what claims to be a greater one is not a document', () => {
    const { replica } = replicaOf(1)
    replica.add([nameRecordOf(1, 'a', 1)])
    const head = replica.head()
    const next = nextGeneration(replica.generation, nonceOf(9))
    expect(replica.receiveWhole(next, new Uint8Array([1, 2, 3])).is).toBe('bad')
    expect(replica.head()).toEqual(head)
  })
})

describe('members of a mesh', () => {
  it('agree on one generation although two rewrote at once', async () => {
    const mesh = new MapMesh(11)
    for (const n of [0, 1, 2, 3]) await mesh.start(n)
    await mesh.settle(1_000)
    createVolumes(mesh)
    await mesh.settle(1_000)
    mesh.split([0, 1], [2, 3])
    grow(mesh, 0, 'left')
    grow(mesh, 2, 'right')
    await mesh.settle(300_000)
    for (const { map } of mesh.nodes) expect(map.stats().bytes).toBeLessThan(REWRITE_BYTES)
    mesh.heal([0, 1], [2, 3])
    await mesh.settle(120_000)
    const first = mesh.nodes[0]?.map
    for (const { map } of mesh.nodes) {
      expect(map.mesh()).toEqual(first?.mesh())
      expect(map.mesh().volumes.size).toBe(20)
      expect(map.stats().badUpdates.size).toBe(0)
    }
  }, 60_000)
})

describe('a volume of which 100,000 chunks moved', () => {
  it('costs what its claims cost, and a change of one costs almost nothing', () => {
    const id = volumeIdOf(1)
    const [a, b] = [createVolumeDocument(id, 1_000), createVolumeDocument(id, 2_000)]
    a.add([
      { kind: 'spec', spec: specOf(id) },
      { kind: 'size', sizeBytes: 4096, epoch: epochOf(1) }
    ])
    a.add(Array.from({ length: 100_000 }, (_, i) => claimOf(i, epochOf(3, 4, i), i % 300)))
    const bytes = a.encode()
    expect(bytes.length).toBeLessThan(18e6)
    expect(deliver(b, bytes).is).toBe('good')
    expect(b.digest()).toBe(a.digest())
    const update = a.add([claimOf(5, epochOf(9), 3)]) ?? new Uint8Array()
    expect(update.length).toBeLessThan(300)
    const startMs = performance.now()
    expect(deliver(b, update).is).toBe('good')
    expect(performance.now() - startMs).toBeLessThan(1_000)
    const view = volumeView(b)
    expect(view?.claims.find(claim => claim.extent === 5)?.node).toBe(nodeIdOf(3))
    expect(view?.claims.length).toBe(100_000)
  }, 60_000)
})

function replicaOf(seed: number): { replica: Replica<MeshRecord>; changes: ReplicaChange[] } {
  const changes: ReplicaChange[] = []
  let last = seed * 1_000
  const replica = new Replica<MeshRecord>('mesh', {
    create: () => createMeshDocument(++last),
    nonce: () => nonceOf(++last),
    keeps: () => true,
    onChange: change => changes.push(change)
  })
  return { replica, changes }
}

function createVolumes(mesh: MapMesh): void {
  for (let n = 0; n < 20; n++) {
    mesh.nodes[0]?.map.announceVolume({
      spec: specOf(volumeIdOf(n)),
      name: `volume-${n}`,
      sizeBytes: 64 * 2 ** 20,
      nodes: [[nodeIdOf(1)]],
      epoch: { token: tokenOf(1), counter: 0 },
      expectedIops: undefined,
      near: undefined
    })
  }
}

/** Renames until the document of the mesh is past its bound. */
function grow(mesh: MapMesh, node: number, word: string): void {
  const map = mesh.nodes[node]?.map
  for (let n = 0; map !== undefined && map.stats().bytes <= 4 * REWRITE_BYTES; n++) {
    for (let v = 0; v < 20; v++) map.rename(volumeIdOf(v), `${word}-${n}-${v}`)
  }
}
