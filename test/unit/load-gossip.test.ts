// Goal: in a mesh of any size every node knows its own group freshly and all others coarsely, and
// hears no more than its budget of bytes; nobody's death, clock or malice changes that for others.
// Method: many drivers with real messages, over a network that only gossips, in simulated time.
import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../protocols/ids.ts'
import { groupMesh, groupTopic, SUMMARIES_TOPIC } from '../../protocols/load-gossip/groups.ts'
import { DEFAULT_BUDGET_BYTES } from '../../protocols/load-gossip/limits.ts'
import { encodeLoadMessage } from '../../protocols/load-gossip/messages.ts'
import type { LoadNode } from '../support/load-mesh.ts'
import {
  ageAt,
  LoadMesh,
  meshOf,
  nodeEntry,
  randomLoad,
  watch,
  watchersOf
} from '../support/load-mesh.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const MINUTE_MS = 60_000
/** A tick of the driver and a delay of the network: what a message may be late. */
const LATE_MS = 2_000

function first(mesh: LoadMesh): LoadNode {
  const [node] = mesh.nodes
  if (node === undefined) throw new Error('the mesh is empty')
  return node
}

function second(mesh: LoadMesh): LoadNode {
  const [, node] = mesh.nodes
  if (node === undefined) throw new Error('the mesh has one node')
  return node
}

describe('three nodes', () => {
  it('know each other within ten seconds and a jitter, with every shard', () => {
    const mesh = new LoadMesh({ nodes: 3, regions: 3, seed: SEED })
    const seen = watch(mesh, { watchers: mesh.nodes, runMs: 5 * MINUTE_MS, settleMs: 30_000 })
    expect(first(mesh).gossip.stats().intervalMs).toBe(10_000)
    expect(seen.near.maxMs).toBeLessThan(11_000 + LATE_MS)
    for (const node of mesh.nodes) {
      expect(node.gossip.all()).toHaveLength(3)
      for (const { sample } of node.gossip.all()) expect(sample?.shards).toHaveLength(20)
    }
  })

  it('forget one that left, and one that the map never showed leaves nothing', () => {
    const mesh = new LoadMesh({ nodes: 3, regions: 1, seed: SEED })
    mesh.hub.run(MINUTE_MS)
    const left = second(mesh)
    const entries = [...mesh.view.nodes.values()]
    mesh.view = meshOf(entries.map(one => (one.id === left.id ? { ...one, leftAt: 1 } : one)))
    mesh.hub.run(5_000)
    expect(ageAt(first(mesh), left.id)).toBe(Number.POSITIVE_INFINITY)
    const bytes = mesh.hub.join('12D3KooWstranger' as NodeId)
    for (let i = 0; i < 50; i++) void bytes.publish('/shoal/load/1/all', new Uint8Array(40))
    mesh.hub.run(5_000)
    expect(first(mesh).gossip.stats()).toMatchObject({ strangers: 50 })
    expect(first(mesh).gossip.stats().dropped.size).toBe(0)
  })

  it('do not hear one whose clock is off by more than 90 s, and say so by name', () => {
    const skewMs = (index: number): number => [0, 80_000, 100_000][index] ?? 0
    const mesh = new LoadMesh({ nodes: 3, regions: 1, seed: SEED, skewMs })
    mesh.hub.run(2 * MINUTE_MS)
    const [at, near, far] = mesh.nodes
    if (at === undefined || near === undefined || far === undefined) throw new Error('three nodes')
    expect(ageAt(at, near.id)).toBeLessThan(11_000 + LATE_MS)
    expect(ageAt(at, far.id)).toBe(Number.POSITIVE_INFINITY)
    expect(at.gossip.stats().dropped.get(far.id)?.get('early')).toBeGreaterThan(5)
    expect(ageAt(far, near.id)).toBeLessThan(11_000 + LATE_MS)
  })
})

describe.each([
  [64, 4, 2],
  [200, 5, 20],
  [300, 100, 2],
  [1000, 1, 20]
])('%i nodes in %i regions, %i shards each', (nodes, regions, shards) => {
  it('hear no more than the budget; the group is known freshly, all others coarsely', () => {
    const mesh = new LoadMesh({ nodes, regions, seed: SEED, shards })
    const watchers = watchersOf(mesh, 20)
    const seen = watch(mesh, { watchers, runMs: 4 * MINUTE_MS, settleMs: 3 * MINUTE_MS })
    const { intervalMs, summaryIntervalMs = 0 } = first(mesh).gossip.stats()
    const intervals = watchers.map(({ gossip }) => gossip.stats().intervalMs)
    const nearMs = 1.1 * Math.max(...intervals) + LATE_MS
    const farMs = nearMs + 1.25 * summaryIntervalMs + LATE_MS
    console.log(
      `${nodes} nodes in ${regions} regions: every ${seconds(intervalMs)}, near within ` +
        `${seconds(seen.near.maxMs)}, far within ${seconds(seen.far.maxMs)}, ` +
        `${Math.round(seen.bytes / 1024)} KiB/min`
    )
    expect(seen.bytes).toBeLessThanOrEqual(DEFAULT_BUDGET_BYTES)
    expect(seen.near.maxMs).toBeLessThan(nearMs)
    expect(seen.far.maxMs).toBeLessThan(farMs)
    expect(seen.dropped).toBe(0)
  })
})

describe('a mesh of several groups', () => {
  const open = () => new LoadMesh({ nodes: 100, regions: 4, seed: SEED, shards: 2 })

  it('goes on to be summarised when its summarisers die, one after the other', () => {
    const mesh = open()
    const said: NodeId[] = []
    const publish = mesh.hub.publish.bind(mesh.hub)
    const watcher = first(mesh)
    mesh.hub.publish = (from, topic, bytes) => {
      const node = mesh.nodes.find(({ id }) => id === from.self)
      const isOther = node?.region !== watcher.region
      if (topic === SUMMARIES_TOPIC && isOther && node?.region === 'region-1') {
        said.push(from.self)
        // It dies with its word still under way, and all that follow it do the same.
        mesh.kill(node)
      }
      publish(from, topic, bytes)
    }
    mesh.hub.run(10 * MINUTE_MS)
    expect(new Set(said).size).toBe(said.length)
    expect(said.length).toBeGreaterThan(10)
    const alive = mesh.nodes.filter(one => one.region === 'region-1' && !one.member.isDead)
    expect(alive.length).toBeGreaterThan(0)
    for (const { id } of alive) expect(ageAt(watcher, id)).toBeLessThan(2.5 * MINUTE_MS)
    for (const id of said) expect(ageAt(watcher, id)).toBeGreaterThan(10_000)
  })

  it('ages what is behind a cut, and knows it freshly again soon after', () => {
    const mesh = open()
    mesh.hub.run(3 * MINUTE_MS)
    const cut = mesh.nodes.filter((_, index) => index % 2 === 1)
    const watcher = first(mesh)
    for (const { member } of cut) member.side = 1
    mesh.hub.run(5 * MINUTE_MS)
    for (const { id } of cut) expect(ageAt(watcher, id)).toBeGreaterThan(4 * MINUTE_MS)
    for (const { member } of cut) member.side = 0
    mesh.hub.run(2 * MINUTE_MS)
    for (const { id } of mesh.nodes) {
      if (id !== watcher.id) expect(ageAt(watcher, id)).toBeLessThan(2 * MINUTE_MS)
    }
  })

  it('loses only freshness while some of it see an older map', () => {
    const mesh = open()
    const old = meshOf([...mesh.view.nodes.values()].slice(0, 64))
    const behind = mesh.nodes.filter((_, index) => index % 3 === 0 && index < 64)
    for (const { id } of behind) mesh.views.set(id, old)
    mesh.hub.run(3 * MINUTE_MS)
    const watcher = first(mesh)
    expect(watcher.gossip.stats().groups).toBe(1)
    for (const { id } of behind) {
      if (id !== watcher.id) expect(ageAt(watcher, id)).toBeLessThan(MINUTE_MS)
    }
    mesh.views.clear()
    mesh.hub.run(4 * MINUTE_MS)
    expect(watcher.gossip.stats().groups).toBe(4)
    for (const { id, gossip } of mesh.nodes) {
      expect(gossip.stats().dropped.size).toBe(0)
      if (id !== watcher.id) expect(ageAt(watcher, id)).toBeLessThan(2 * MINUTE_MS)
    }
  })

  it('lets nobody who floods it take the place of others', () => {
    const mesh = open()
    const watcher = first(mesh)
    const bad = mesh.nodes[4]
    if (bad === undefined) throw new Error('a hundred nodes')
    const group = groupMesh(mesh.nodes).of.get(bad.id)
    if (group === undefined) throw new Error('every node has a group')
    expect(group.region).toBe(watcher.region)
    mesh.hub.run(2 * MINUTE_MS)
    let number = 1_000_000
    for (let second = 0; second < 120; second++) {
      for (let i = 0; i < 20; i++) {
        const random = new SeededRandom(SEED + number)
        const sample = {
          is: 'sample',
          ...randomLoad(random, 0),
          at: mesh.hub.clock().now(),
          sequence: { start: 1, number: number++ },
          intervalMs: 10_000,
          shardCount: 0
        } as const
        void bad.member.publish(groupTopic(group), encodeLoadMessage(sample))
      }
      mesh.hub.run(1000)
    }
    const counts = watcher.gossip.stats().dropped
    expect(counts.get(bad.id)?.get('flood')).toBeGreaterThan(2000)
    expect([...counts.keys()]).toEqual([bad.id])
    for (const { id } of mesh.nodes) {
      if (id !== watcher.id) expect(ageAt(watcher, id)).toBeLessThan(2 * MINUTE_MS)
    }
  })
})

it('tells its own group by the topics that it named, whatever the map says of its region', () => {
  const mesh = new LoadMesh({ nodes: 70, regions: 2, seed: SEED, shards: 1 })
  const { id, region } = first(mesh)
  const entries = [...mesh.view.nodes.values()]
  mesh.view = meshOf(entries.map(one => (one.id === id ? nodeEntry(id, 'elsewhere') : one)))
  mesh.hub.run(2 * MINUTE_MS)
  const group = [...mesh.view.nodes.values()].filter(one => one.region === region)
  expect(first(mesh).gossip.stats().groupMembers).toBe(group.length + 1)
})

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
