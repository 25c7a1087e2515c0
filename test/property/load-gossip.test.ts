// Goal: whatever bytes come, they are one message or none; what is said is what is heard; groups
// divide every mesh, alike for all; no table ever takes an old, repeated or absurd message.
// Method: random and mutated bytes, random samples, meshes and orders of delivery. SEED= repeats a run.
import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../protocols/ids.ts'
import { fromLog16, toLog16 } from '../../protocols/load-gossip/codes.ts'
import type { Groups, Place } from '../../protocols/load-gossip/groups.ts'
import {
  groupMesh,
  groupTopic,
  indexAt,
  loadTopics,
  shortName
} from '../../protocols/load-gossip/groups.ts'
import { ENVELOPE_BYTES, GROUP_NODES } from '../../protocols/load-gossip/limits.ts'
import type { GroupSummary, NodeSample } from '../../protocols/load-gossip/messages.ts'
import {
  decodeLoadMessage,
  encodeLoadMessage,
  sampleBytes
} from '../../protocols/load-gossip/messages.ts'
import { planFor, planSample } from '../../protocols/load-gossip/schedule.ts'
import { LoadTable } from '../../protocols/load-gossip/table.ts'
import { randomLoad, randomNodeId } from '../support/load-mesh.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const random = new SeededRandom(SEED)
const NOW = { wallMs: 1_700_000_000_000, monotonicMs: 5_000_000 }

function randomSample(overrides: Partial<NodeSample> = {}): NodeSample {
  const shards = random.below(5)
  const load = randomLoad(random, shards)
  return {
    is: 'sample',
    ...load,
    at: NOW.wallMs,
    sequence: { start: 1 + random.below(5), number: random.below(1000) },
    intervalMs: 100 * random.below(600),
    shardCount: shards + random.below(10),
    ...overrides
  }
}

function randomSummary(
  names: readonly number[],
  overrides: Partial<GroupSummary> = {}
): GroupSummary {
  return {
    is: 'summary',
    at: NOW.wallMs,
    sequence: { start: 1 + random.below(5), number: random.below(1000) },
    bits: 0,
    heard: names.length,
    entries: names.map(name => ({
      name,
      ageMs: 100 * random.below(600),
      load: random.fraction() * 1e5,
      capacity: random.fraction() * 1e5,
      freeBytes: random.fraction() * 1e13,
      ...(random.below(2) === 0 ? {} : { forecast: { q95: 10, chance: random.fraction() } })
    })),
    ...overrides
  }
}

function randomMessage(): NodeSample | GroupSummary {
  if (random.below(2) === 0) return randomSample()
  return randomSummary(Array.from({ length: random.below(6) }, () => random.below(2 ** 32)))
}

function randomPlaces(nodes: number, regions: number): Place[] {
  return Array.from({ length: nodes }, () => ({
    id: randomNodeId(random),
    region: `r${random.below(regions)}`
  }))
}

describe('a load message', () => {
  it('is one message or none, whatever the bytes, and reads as it is written', () => {
    let read = 0
    for (let i = 0; i < 20_000; i++) {
      const bytes =
        i % 4 === 0 ? random.bytes(random.below(200)) : mutated(encodeLoadMessage(randomMessage()))
      const message = decodeLoadMessage(bytes)
      if (message === undefined) continue
      read++
      expect(Buffer.from(encodeLoadMessage(message)).equals(bytes)).toBe(true)
    }
    expect(read).toBeGreaterThan(1000)
  })

  it('is of its whole length: any part of it, and any byte more, is none', () => {
    const bytes = encodeLoadMessage(randomSample({ shards: [], shardCount: 3 }))
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeLoadMessage(bytes.subarray(0, length))).toBeUndefined()
    }
    expect(decodeLoadMessage(Buffer.concat([bytes, Buffer.of(0)]))).toBeUndefined()
  })

  it('keeps amounts within 0.04 %, and their order', () => {
    for (let i = 0; i < 10_000; i++) {
      const amount = 2 ** (random.fraction() * 60) - 1
      const read = fromLog16(toLog16(amount)) ?? Number.NaN
      expect(Math.abs(read - amount)).toBeLessThanOrEqual(0.0004 * (1 + amount))
      const more = amount * (1 + random.fraction())
      expect(toLog16(more)).toBeGreaterThanOrEqual(toLog16(amount))
    }
    expect(fromLog16(toLog16(0))).toBe(0)
  })

  it('with quantiles out of order is none', () => {
    const band = { q50: 100, q90: 90, q95: 200 }
    const forecast = { in15: band, in60: band, skill: 0, chance: 0 }
    expect(decodeLoadMessage(encodeLoadMessage(randomSample({ forecast })))).toBeUndefined()
  })
})

describe('the groups of a mesh', () => {
  it('hold every node once, alike in any order of the map, and few have more than 64', () => {
    for (const [nodes, regions] of [
      [1, 1],
      [64, 3],
      [65, 2],
      [300, 40],
      [1000, 1],
      [2000, 7]
    ] as const) {
      const places = randomPlaces(nodes, regions)
      const groups = groupMesh(places)
      expect(groups.all.flatMap(({ members }) => members).sort()).toEqual(
        places.map(({ id }) => id).sort()
      )
      expect(describeGroups(groupMesh([...places].reverse()))).toEqual(describeGroups(groups))
      if (nodes <= GROUP_NODES) expect(groups.all).toHaveLength(1)
      for (const { members } of groups.all) expect(members.length).toBeLessThan(1.6 * GROUP_NODES)
    }
  })

  it('speak only on topics that each node could name before it knew the mesh', () => {
    const places = randomPlaces(1500, 2)
    const groups = groupMesh(places)
    for (const { id, region } of places) {
      const group = groups.of.get(id)
      const topics = loadTopics(id, region)
      expect(topics.length).toBeLessThanOrEqual(9)
      expect(group && topics.includes(groupTopic(group))).toBe(true)
    }
  })

  it('are planned so that what all members say is within the budget, whatever shards they have', () => {
    for (let i = 0; i < 30; i++) {
      const places = randomPlaces(1 + random.below(1500), 1 + random.below(30))
      const groups = groupMesh(places)
      const budget = 16_384 + random.below(100_000)
      for (const { members } of groups.all) {
        const [self] = members
        if (self === undefined) continue
        const plan = planFor(groups, self, budget)
        let bytes = 0
        for (const _ of members) {
          const { listed, intervalMs } = planSample(plan.memberBytes, random.below(300))
          bytes += ((ENVELOPE_BYTES + sampleBytes(listed)) * 60_000) / intervalMs
        }
        const { summaries } = plan
        if (summaries !== undefined) {
          const atMost = groups.all.length * summaries.largestBytes
          expect(summaries.intervalMs).toBeGreaterThanOrEqual(30_000)
          if (groups.all.every(group => group.members.length === members.length)) {
            bytes += (atMost * 60_000) / summaries.intervalMs
          }
        }
        expect(bytes).toBeLessThanOrEqual(budget)
      }
    }
  })
})

describe('the table', () => {
  const places = randomPlaces(40, 1)
  const [author, other] = places.map(({ id }) => id)
  if (author === undefined || other === undefined) throw new Error('forty nodes')
  const open = (): LoadTable => {
    const table = new LoadTable()
    table.setMesh(places)
    return table
  }

  it('takes of one author only what follows, in any order of delivery, restarts included', () => {
    for (let run = 0; run < 50; run++) {
      const table = open()
      let last = -1
      for (let i = 0; i < 100; i++) {
        const sample = randomSample()
        const { start, number } = sample.sequence
        const order = start * 1_000_000 + number
        expect(table.take(author, sample, NOW)).toBe(order > last ? undefined : 'replay')
        last = Math.max(last, order)
        expect(table.take(author, sample, NOW)).toBe('replay')
      }
    }
  })

  it('takes nothing that is too old, too early or too much', () => {
    const table = open()
    const at = (offsetMs: number): NodeSample => randomSample({ at: NOW.wallMs + offsetMs })
    expect(table.take(author, at(90_001), NOW)).toBe('early')
    expect(table.take(author, at(-600_001), NOW)).toBe('late')
    expect(table.take(author, randomSample({ load: 2 ** 31 }), NOW)).toBe('huge')
    expect(table.take(author, randomSample({ freeBytes: 2 ** 61 }), NOW)).toBe('huge')
    expect(table.take(author, randomSummary([shortName(other)], { at: 0 }), NOW)).toBe('late')
    expect(table.all(NOW.monotonicMs)).toEqual([])
    expect(table.take(author, at(90_000), NOW)).toBeUndefined()
  })

  it("takes of a summary only what is of its author's group, and never a name that two share", () => {
    const table = open()
    const far = { id: randomNodeId(random), region: 'elsewhere' }
    table.setMesh([...places, far])
    const names = [other, far.id].map(shortName)
    expect(table.take(author, randomSummary(names), NOW)).toBe('foreign')
    expect(table.known(other, NOW.monotonicMs)?.from).toBe('summary')
    expect(table.known(far.id, NOW.monotonicMs)).toBeUndefined()
    const bits = 3
    const stray = places.find(
      ({ id }) => indexAt(shortName(id), bits) !== indexAt(shortName(author), bits)
    )
    const sequence = { start: 9, number: 1 }
    const claim = randomSummary([shortName(stray?.id ?? author)], { bits, sequence })
    expect(table.take(author, claim, NOW)).toBe('foreign')
    const before = table.known(other, NOW.monotonicMs)
    // Two of one short name are hard to find; one that is listed twice comes to the same.
    table.setMesh([...places, { id: other, region: 'twin' }])
    const again = randomSummary([shortName(other)], { sequence: { start: 10, number: 1 } })
    expect(again.entries).toHaveLength(1)
    expect(table.take(author, again, NOW)).toBeUndefined()
    expect(table.known(other, NOW.monotonicMs)).toEqual(before)
  })

  it('lets a summary replace what a node said itself only if it is newer by seconds', () => {
    const table = open()
    const sample = randomSample({ sequence: { start: 1, number: 1 }, load: 5 })
    table.take(other, sample, NOW)
    const tell = (number: number, ageMs: number, laterMs: number): string | undefined => {
      const [entry] = randomSummary([shortName(other)]).entries
      const entries = entry === undefined ? [] : [{ ...entry, ageMs }]
      const summary = randomSummary([], { sequence: { start: 1, number }, heard: 1, entries })
      const now = { ...NOW, monotonicMs: NOW.monotonicMs + laterMs }
      expect(table.take(author, summary, now)).toBeUndefined()
      return table.known(other, now.monotonicMs)?.from
    }
    expect(tell(1, 10_000, 9_000)).toBe('sample')
    expect(tell(2, 6_000, 10_000)).toBe('sample')
    expect(tell(3, 1_000, 10_000)).toBe('summary')
    expect(tell(4, 5_000, 10_000)).toBe('summary')
    expect(table.known(other, NOW.monotonicMs + 10_000)?.ageMs).toBe(1_000)
  })

  it('keeps entries only of nodes of the mesh', () => {
    const table = open()
    for (const { id } of places) table.take(id, randomSample(), NOW)
    expect(table.all(NOW.monotonicMs)).toHaveLength(places.length)
    table.setMesh(places.slice(0, 10))
    expect(table.all(NOW.monotonicMs)).toHaveLength(10)
    expect(table.take('12D3KooWnobody' as NodeId, randomSample(), NOW)).toBe('foreign')
    expect(table.all(NOW.monotonicMs)).toHaveLength(10)
  })
})

function describeGroups({ all }: Groups): unknown {
  return all.map(group => JSON.stringify(group)).sort()
}

function mutated(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes)
  for (let i = random.below(3); i > 0; i--) copy[random.below(copy.length)] = random.below(256)
  return random.below(8) === 0 ? copy.subarray(0, random.below(copy.length)) : copy
}
