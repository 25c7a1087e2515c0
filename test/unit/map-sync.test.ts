// Goal: every member learns every change: at once by gossip, at last by sync, whoever was away,
// cut off or restarted meanwhile; and what nobody may believe changes nothing.
// Method: several maps in one process on memory network and disks, under one simulated clock.
import { describe, expect, it } from 'vitest'
import type { ShardMap } from '../../node/map/types.ts'
import { createRpc } from '../../node/rpc/rpc.ts'
import { encodeCbor } from '../../protocols/cbor.ts'
import { isFault } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { MiB } from '../../protocols/limits.ts'
import {
  MAP_SYNC_PROTOCOL,
  MAP_TOPIC,
  syncAnswerSchema
} from '../../protocols/map-sync/messages.ts'
import { MapMesh, StepClock } from '../support/map-mesh.ts'
import { epochOf, nodeIdOf, nonceOf, specOf, tokenOf, volumeIdOf } from '../support/map-records.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const DAY_MS = 24 * 3_600_000

describe('a change', () => {
  it('reaches every member by gossip within the tick and its messages', async () => {
    const mesh = await meshOf(3)
    announce(mesh, 0, 1)
    createVolume(mesh, 0, 1, 'data')
    await mesh.settle(0)
    for (const { map } of mesh.nodes) {
      expect(map.resolve('data')).toBe(volumeIdOf(1))
      expect(map.mesh().nodes.get(nodeIdOf(0))?.incarnation.number).toBe(1)
    }
  })

  it('tells listeners once per tick, with a view that says it', async () => {
    const mesh = await meshOf(2)
    const seen: number[] = []
    mesh.nodes[1]?.map.onMesh(view => seen.push(view.volumes.size))
    for (const n of [1, 2, 3]) createVolume(mesh, 0, n, `data-${n}`)
    await mesh.settle(0)
    expect(seen).toEqual([3])
  })

  it('survives a crash once it was flushed, and a restart has a client id of its own', async () => {
    const mesh = await meshOf(1)
    createVolume(mesh, 0, 1, 'data')
    await mapOf(mesh, 0).flush()
    const disk = mesh.nodes[0]?.disk.crash()
    mesh.kill(0)
    const again = await mesh.start(0, disk === undefined ? {} : { disk })
    expect(again.map.resolve('data')).toBe(volumeIdOf(1))
    expect(again.map.volume(volumeIdOf(1))?.sizeBytes).toBe(128 * MiB)
    again.map.rename(volumeIdOf(1), 'other')
    expect(again.map.resolve('other')).toBe(volumeIdOf(1))
  })
})

describe('a member that missed something', () => {
  it('catches up by sync after a day away', async () => {
    const mesh = await meshOf(3)
    createVolume(mesh, 0, 1, 'data')
    await mesh.settle()
    const disk = mesh.nodes[2]?.disk
    await mesh.stop(2)
    mapOf(mesh, 0).rename(volumeIdOf(1), 'renamed')
    createVolume(mesh, 1, 2, 'more')
    mesh.clock.sleep(DAY_MS)
    const back = await mesh.start(2, disk === undefined ? {} : { disk })
    await mesh.settle(1_000)
    expect(back.map.resolve('renamed')).toBe(volumeIdOf(1))
    expect(back.map.resolve('more')).toBe(volumeIdOf(2))
  })

  it('gives up its documents if it was away longer than tombstones live', async () => {
    const retentionMs = 100 * DAY_MS
    const mesh = await meshOf(3, { retentionMs })
    await mesh.settle(4_000_000)
    createVolume(mesh, 0, 1, 'data')
    await mesh.settle()
    const disk = mesh.nodes[2]?.disk
    await mesh.stop(2)
    remove(mesh, 0, 1)
    createVolume(mesh, 0, 2, 'later')
    await mesh.settle(4_000_000)
    mesh.clock.sleep(95 * DAY_MS)
    const back = await mesh.start(2, { retentionMs, ...(disk && { disk }) })
    expect(back.map.mesh().volumes.has(volumeIdOf(1))).toBe(true)
    announce(mesh, 2, 9)
    await mesh.settle()
    expect(back.logged.join()).toContain('away for too long')
    for (const { map } of mesh.nodes) {
      expect([...map.mesh().volumes.keys()]).toEqual([volumeIdOf(2)])
      expect(map.mesh().nodes.get(nodeIdOf(2))?.incarnation.number).toBe(9)
    }
  })

  it('keeps them if the mesh as a whole was away', async () => {
    const retentionMs = 100 * DAY_MS
    const mesh = await meshOf(2, { retentionMs })
    createVolume(mesh, 0, 1, 'data')
    await mesh.settle(4_000_000)
    const disks = mesh.nodes.map(node => node.disk)
    for (const n of [0, 1]) await mesh.stop(n)
    mesh.clock.sleep(500 * DAY_MS)
    for (const n of [0, 1]) {
      const disk = disks[n]
      await mesh.start(n, { retentionMs, ...(disk && { disk }) })
    }
    await mesh.settle()
    for (const { map } of mesh.nodes) expect(map.resolve('data')).toBe(volumeIdOf(1))
  })
})

describe('two halves of a split mesh', () => {
  it('agree after it heals, whatever both changed', async () => {
    const mesh = await meshOf(4)
    for (const n of [1, 2, 3]) createVolume(mesh, 0, n, `data-${n}`)
    for (const { hosted } of mesh.nodes) hosted.add(volumeIdOf(1))
    await mesh.settle()
    mesh.split([0, 1], [2, 3])
    mapOf(mesh, 0).rename(volumeIdOf(1), 'left')
    mapOf(mesh, 2).rename(volumeIdOf(1), 'right')
    remove(mesh, 1, 2)
    mapOf(mesh, 3).rename(volumeIdOf(2), 'too-late')
    createVolume(mesh, 0, 7, 'same')
    createVolume(mesh, 2, 8, 'same')
    mapOf(mesh, 1).announceSize(volumeIdOf(1), 256 * MiB, epochOf(5))
    mapOf(mesh, 3).announceSize(volumeIdOf(1), 192 * MiB, epochOf(4))
    announce(mesh, 0, 3)
    announce(mesh, 3, 4)
    await mesh.settle()
    mesh.heal([0, 1], [2, 3])
    await mesh.settle()
    const first = mapOf(mesh, 0)
    for (const { map } of mesh.nodes) {
      expect(map.mesh()).toEqual(first.mesh())
      expect(map.volume(volumeIdOf(1))?.sizeBytes).toBe(256 * MiB)
      expect(map.mesh().volumes.has(volumeIdOf(2))).toBe(false)
      expect(['left', 'right']).toContain(map.mesh().volumes.get(volumeIdOf(1))?.name)
      expect(
        isFault(
          thrownBy(() => map.resolve('same')),
          'NAME_AMBIGUOUS'
        )
      ).toBe(true)
      expect(map.stats().badUpdates.size).toBe(0)
    }
    first.rename(volumeIdOf(8), 'other')
    await mesh.settle(0)
    for (const { map } of mesh.nodes) expect(map.resolve('same')).toBe(volumeIdOf(7))
  })
})

describe('the document of a volume', () => {
  it('lives where the volume is hosted, and comes when it is asked for', async () => {
    const mesh = await meshOf(4)
    mesh.nodes[1]?.hosted.add(volumeIdOf(1))
    createVolume(mesh, 0, 1, 'data')
    await mesh.settle(1_000)
    expect(mapOf(mesh, 1).volume(volumeIdOf(1))?.sizeBytes).toBe(128 * MiB)
    expect(mapOf(mesh, 2).volume(volumeIdOf(1))).toBeUndefined()
    const fetched = mapOf(mesh, 2).fetchVolume(volumeIdOf(1))
    await mesh.settle(1_000)
    expect((await fetched).layout).toHaveLength(1)
    expect(mapOf(mesh, 3).volume(volumeIdOf(1))).toBeUndefined()
  })

  it('is current when it was fetched, though gossip was lost', async () => {
    const mesh = await meshOf(3)
    createVolume(mesh, 0, 1, 'data')
    mesh.nodes[1]?.hosted.add(volumeIdOf(1))
    await mesh.settle()
    mesh.split([0], [1])
    mapOf(mesh, 0).announceSize(volumeIdOf(1), 256 * MiB, epochOf(3))
    await mesh.settle(0)
    mesh.network.heal(nodeIdOf(0), nodeIdOf(1))
    const view = mapOf(mesh, 1).fetchVolume(volumeIdOf(1))
    await mesh.settle(100)
    expect((await view).sizeBytes).toBe(256 * MiB)
  })

  it('is gone with its volume, and asking for it says so', async () => {
    const mesh = await meshOf(2)
    for (const { hosted } of mesh.nodes) hosted.add(volumeIdOf(1))
    createVolume(mesh, 0, 1, 'data')
    await mesh.settle()
    remove(mesh, 1, 1)
    await mesh.settle(0)
    for (const { map } of mesh.nodes) {
      expect(map.volume(volumeIdOf(1))).toBeUndefined()
      expect(map.stats().documents).toBe(1)
      const error = await map.fetchVolume(volumeIdOf(1)).catch((reason: unknown) => reason)
      expect(isFault(error, 'NOT_FOUND')).toBe(true)
    }
    mapOf(mesh, 0).announceSize(volumeIdOf(1), 256 * MiB, epochOf(9))
    expect(mapOf(mesh, 0).volume(volumeIdOf(1))).toBeUndefined()
  })

  it('says each extent as the greatest epoch does', async () => {
    const mesh = await meshOf(1)
    const map = mapOf(mesh, 0)
    createVolume(mesh, 0, 1, 'data')
    const nodes = (n: number) => [[nodeIdOf(n)]]
    map.announceLayout(volumeIdOf(1), { from: 1, to: 4, nodes: nodes(2), epoch: epochOf(3) })
    map.announceLayout(volumeIdOf(1), { from: 0, to: 2, nodes: nodes(3), epoch: epochOf(2) })
    const runs = map.volume(volumeIdOf(1))?.layout ?? []
    const said = runs.map(run => `${run.from}-${run.to} ${run.nodes[0]?.[0]?.at(-1)}`)
    expect(said).toEqual([`0-1 ${nodeIdOf(3).at(-1)}`, `1-4 ${nodeIdOf(2).at(-1)}`])
  })
})

describe('what an earlier start asked for', () => {
  it('is let go once somebody else is seen to have it, and not before', async () => {
    const mesh = await meshOf(2)
    createVolume(mesh, 0, 1, 'data')
    await mesh.settle()
    const disk = mesh.nodes[0]?.disk
    await mesh.stop(0)
    const back = await mesh.start(0, disk === undefined ? {} : { disk })
    await mesh.settle()
    expect(back.map.volume(volumeIdOf(1))).toBeDefined()
    mesh.nodes[1]?.hosted.add(volumeIdOf(1))
    await mesh.settle()
    expect(mapOf(mesh, 1).volume(volumeIdOf(1))?.sizeBytes).toBe(128 * MiB)
    expect(back.map.volume(volumeIdOf(1))).toBeUndefined()
  })
})

describe('a list of heads', () => {
  it('is sent again only when it changed', async () => {
    const mesh = await meshOf(1)
    createVolume(mesh, 0, 1, 'data')
    const asker = mesh.network.join(nodeIdOf(9))
    const rpc = createRpc({ network: asker, clock: new StepClock(), log: silent })
    const ask = async (seen?: string) => {
      const request = { ask: 'heads', standing: 'blank', ...(seen && { seen }) }
      const answer = await rpc.call(nodeIdOf(0), MAP_SYNC_PROTOCOL, request, syncAnswerSchema)
      if (answer.is !== 'heads') throw new Error(answer.is)
      return answer
    }
    const first = await ask()
    expect(first.heads).toHaveLength(2)
    expect((await ask(first.digest)).heads).toBeUndefined()
    mapOf(mesh, 0).rename(volumeIdOf(1), 'other')
    expect((await ask(first.digest)).heads).toHaveLength(2)
  })
})

describe('a name', () => {
  it('that no volume has is not found, and the error says what lists them', async () => {
    const mesh = await meshOf(1)
    for (const name of ['none', '__proto__', 'constructor', '', 'x'.repeat(5_000)]) {
      const error = thrownBy(() => mapOf(mesh, 0).resolve(name))
      expect(isFault(error, 'NOT_FOUND')).toBe(true)
      expect(String(error)).toContain('shoal volume list')
    }
  })

  it('or an entry that is not well-formed is our own bug', async () => {
    const mesh = await meshOf(1)
    expect(() => createVolume(mesh, 0, 1, '__proto__')).toThrow('invariant')
    expect(() => createVolume(mesh, 0, 1, '../x')).toThrow('invariant')
    expect(() => mapOf(mesh, 0).announceSize(volumeIdOf(1), 5, epochOf(1))).toThrow('invariant')
  })
})

describe('what is not to be believed', () => {
  it('is dropped, counted and named, and changes nothing', async () => {
    const mesh = await meshOf(2)
    createVolume(mesh, 0, 1, 'data')
    await mesh.settle()
    const before = mapOf(mesh, 0).mesh()
    const rogue = mesh.network.join(nodeIdOf(9))
    const random = new SeededRandom(SEED)
    const generation = { number: 1, id: nonceOf(0) }
    for (let n = 0; n < 500; n++) {
      const update = new Uint8Array(random.bytes(random.below(200)))
      const change = { changes: [{ document: 'mesh', generation, update }] }
      const bytes = n % 2 === 0 ? random.bytes(random.below(300)) : encodeCbor(change)
      await rogue.publish(MAP_TOPIC, bytes)
    }
    const rpc = createRpc({ network: rogue, clock: new StepClock(), log: silent })
    for (let n = 0; n < 500; n++) {
      const step = new Uint8Array(random.bytes(random.below(200)))
      const ask = n % 2 === 0 ? 'pull' : 'push'
      const request = { ask, document: 'mesh', generation, step }
      const asked = rpc.call(nodeIdOf(0), MAP_SYNC_PROTOCOL, request, syncAnswerSchema)
      expect((await asked).is).not.toBe('done')
    }
    await mesh.settle(0)
    expect(mapOf(mesh, 0).mesh()).toEqual(before)
    expect(mapOf(mesh, 0).stats().badUpdates.get(nodeIdOf(9))).toBeGreaterThan(500)
    expect(mesh.nodes[0]?.logged.some(line => line.includes(nodeIdOf(9)))).toBe(true)
  })

  it('is a forged revocation, which neither shows nor hides a genuine one', async () => {
    const mesh = await meshOf(2)
    await mesh.stop(1)
    const isGenuine = (_peer: NodeId, signed: Uint8Array) => signed[0] === 2
    const strict = await mesh.start(1, { acceptsRevocation: isGenuine })
    await mesh.settle(1_000)
    for (const byte of [1, 2, 3]) {
      mapOf(mesh, 0).announceRevocation(nodeIdOf(5), new Uint8Array([byte]))
    }
    mapOf(mesh, 0).announceRevocation(nodeIdOf(6), new Uint8Array([1]))
    await mesh.settle(1_000)
    const { revocations } = strict.map.mesh()
    expect([...revocations]).toEqual([[nodeIdOf(5), new Uint8Array([2])]])
  })
})

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

async function meshOf(count: number, options: { retentionMs?: number } = {}): Promise<MapMesh> {
  const mesh = new MapMesh(SEED)
  for (let n = 0; n < count; n++) await mesh.start(n, options)
  await mesh.settle(1_000)
  return mesh
}

function mapOf(mesh: MapMesh, n: number): ShardMap {
  const node = mesh.nodes[n]
  if (node === undefined) throw new Error(`no node ${n}`)
  return node.map
}

function createVolume(mesh: MapMesh, node: number, n: number, name: string): void {
  mapOf(mesh, node).announceVolume({
    spec: specOf(volumeIdOf(n)),
    name,
    sizeBytes: 128 * MiB,
    nodes: [[nodeIdOf(1)]],
    epoch: epochOf(1),
    expectedIops: undefined,
    near: undefined
  })
}

function remove(mesh: MapMesh, node: number, n: number): void {
  const id: VolumeId = volumeIdOf(n)
  mapOf(mesh, node).announceDelete({ id, token: tokenOf(7), at: mesh.clock.now() })
}

function announce(mesh: MapMesh, n: number, number: number): void {
  mapOf(mesh, n).announceNode({
    id: nodeIdOf(n),
    name: `node-${n}`,
    region: 'north',
    host: `host-${n}`,
    role: 'node',
    capacityBytes: 1024 * MiB,
    addresses: ['/ip4/10.0.0.1/tcp/4000'],
    incarnation: { number, nonce: nonceOf(number) },
    version: '0.1.0'
  })
}

function thrownBy(action: () => unknown): unknown {
  try {
    action()
    return undefined
  } catch (error) {
    return error
  }
}
