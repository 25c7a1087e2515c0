// Goal: over real hosts samples reach every node, a topic can be left and joined again, and a node of
// a large mesh stays connected to enough of its group for gossip to reach it.
// Method: three libp2p hosts on loopback with a clock that runs 20 times as fast; the dialler alone,
// in simulated time, in a mesh of 400.
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock, systemRandom } from '../../node/clock.ts'
import { Dialler } from '../../node/host/dialler.ts'
import { PARTIAL_MESH_PEERS, PREFERRED_PEERS } from '../../node/limits.ts'
import type { LoadGossip } from '../../node/load/gossip.ts'
import { createLoadGossip } from '../../node/load/gossip.ts'
import type { Clock } from '../../node/ports.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { ALL_TOPIC, loadTopics } from '../../protocols/load-gossip/groups.ts'
import type { Member } from '../support/host-mesh.ts'
import { HostMesh, silentLog, until } from '../support/host-mesh.ts'
import { meshOf, nodeEntry, randomLoad, randomNodeId } from '../support/load-mesh.ts'
import { MicroClock } from '../support/moves-clock.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const SPEED = 20

const fastClock: Clock = {
  ...systemClock,
  monotonicMs: () => systemClock.monotonicMs() * SPEED,
  after: (delayMs, task) => systemClock.after(delayMs / SPEED, task)
}

let mesh = new HostMesh()
afterEach(async () => {
  await mesh.close()
  mesh = new HostMesh()
})

async function threeHosts(): Promise<Member[]> {
  const topics = [ALL_TOPIC]
  const first = await mesh.init('first', { topics })
  const others = [
    await mesh.grow(first, 'second', { topics }),
    await mesh.grow(first, 'third', { topics })
  ]
  await mesh.connect(first, ...others)
  return [first, ...others]
}

describe('three real hosts', () => {
  it('hear every sample of each other, signed by its author, shards and all', async () => {
    const members = await threeHosts()
    const entries = members.map(({ identity }) => nodeEntry(identity.id, identity.region))
    const view = meshOf(entries)
    const random = new SeededRandom(SEED)
    const loads = members.map((_, shards) => randomLoad(random, shards))
    const gossips: LoadGossip[] = members.map(({ host, identity }, index) =>
      createLoadGossip({
        network: host,
        clock: fastClock,
        random: systemRandom,
        log: silentLog,
        region: identity.region,
        start: 1,
        mesh: () => view,
        ownSample: () => loads[index] ?? randomLoad(random, 0)
      })
    )
    await until(() => gossips.every(gossip => gossip.all().length === 3), 20_000)
    for (const gossip of gossips) {
      for (const [index, { identity }] of members.entries()) {
        const known = gossip.known(identity.id)
        expect(known).toMatchObject({ from: 'sample', by: identity.id })
        expect(known?.sample?.shards.length).toBe(index)
        expect(known?.load).toBeCloseTo(loads[index]?.load ?? 0, -2)
      }
      expect(gossip.stats().dropped.size).toBe(0)
      expect(gossip.stats().strangers).toBe(0)
    }
    for (const gossip of gossips) gossip.close()
  }, 60_000)

  it('leave a topic, hear no more of it, and join it again', async () => {
    const [a, b] = await threeHosts()
    if (a === undefined || b === undefined) throw new Error('three hosts')
    let heard = 0
    const hear = (): (() => void) => b.host.subscribe(ALL_TOPIC, () => heard++)
    let other = 0
    const say = (): void => void a.host.publish(ALL_TOPIC, systemRandom.bytes(8))
    const saying = async (condition: () => boolean): Promise<void> =>
      until(() => {
        say()
        return condition()
      })
    a.host.subscribe(ALL_TOPIC, () => {})
    const leave = hear()
    const leaveOther = b.host.subscribe(ALL_TOPIC, () => other++)
    await saying(() => heard > 0 && other > 0)
    leave()
    leave()
    const before = { heard, other }
    await saying(() => other > before.other)
    expect(heard).toBe(before.heard)
    leaveOther()
    hear()
    await saying(() => heard > before.heard)
    await b.stop()
    expect(leaveOther).not.toThrow()
  }, 60_000)
})

describe('the dialler of a large mesh', () => {
  it('keeps some of those that it prefers, and random others', async () => {
    const random = new SeededRandom(SEED)
    const clock = new MicroClock()
    const connected = new Set<NodeId>()
    const self = randomNodeId(random)
    const dialler = new Dialler({
      self,
      clock,
      random,
      log: silentLog,
      dial: async peer => {
        connected.add(peer)
        return undefined as never
      },
      isConnected: peer => connected.has(peer),
      connectedCount: () => connected.size,
      isWelcome: () => true
    })
    const peers = Array.from({ length: 400 }, () => randomNodeId(random))
    dialler.setKnown(peers.map(id => ({ id, addresses: ['/ip4/127.0.0.1/tcp/1'] })))
    dialler.start()
    await clock.run(10_000)
    expect(connected.size).toBe(PARTIAL_MESH_PEERS)
    const group = peers.slice(0, 50)
    dialler.setPreferred(group)
    await clock.run(10_000)
    const near = (): number => group.filter(peer => connected.has(peer)).length
    expect(near()).toBeGreaterThanOrEqual(PREFERRED_PEERS)
    expect(connected.size).toBeLessThanOrEqual(PARTIAL_MESH_PEERS + PREFERRED_PEERS)
    for (const peer of group) connected.delete(peer)
    for (const peer of group) dialler.onLost(peer)
    await clock.run(10_000)
    expect(near()).toBeGreaterThanOrEqual(PREFERRED_PEERS)
    dialler.stop()
  })
})

describe('the topics of a node', () => {
  it('are few, its own, and begin with those of every node', () => {
    const id = randomNodeId(new SeededRandom(SEED))
    const topics = loadTopics(id, 'north')
    expect(topics.slice(0, 3)).toEqual([
      ALL_TOPIC,
      '/shoal/load/1/summaries',
      '/shoal/load/1/region/north/0'
    ])
    expect(topics.length).toBeLessThanOrEqual(9)
  })
})
