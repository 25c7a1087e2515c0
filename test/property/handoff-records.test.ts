// Goal: whatever handoffs, aborts, crashes between two of their steps, takebacks and repetitions do
// to the heads of shards, at most one of them holds a replica, none is lost, tokens only grow, and
// a step that is repeated changes nothing.
// Method: random walks over the durable steps of four shards with one column of a few extents; the
// driver takes the steps that PROTOCOL.md allows, any number of them in between, on any chunk.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Hello, Prepare } from '../../protocols/handoff/messages.ts'
import {
  confirm,
  covers,
  demote,
  drop,
  hold,
  mustKeep,
  prepare,
  prune,
  reclaim,
  release,
  releasedBy,
  reserve
} from '../../protocols/handoff/records.ts'
import type { ChunkKey, HandoffId, NodeId, PlacementEpoch } from '../../protocols/ids.ts'
import { compareEpochs, compareTokens } from '../../protocols/ids.ts'
import { MiB } from '../../protocols/limits.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { indexRuns } from '../../protocols/shard-control/runs.ts'
import { FIRST_EPOCH, FIRST_TOKEN, run, spec, token, volumeId } from '../support/shard-harness.ts'

const VOLUME = volumeId(1)
const SPEC = spec(VOLUME)
const EXTENTS = 4
const NODES = ['a', 'b', 'c', 'd'] as NodeId[]

interface Handoff {
  readonly id: HandoffId
  readonly chunk: ChunkKey
  readonly source: number
  readonly target: number
  epoch: PlacementEpoch | undefined
}

class World {
  readonly heads: Array<ShardHead | undefined> = NODES.map(() => undefined)
  readonly handoffs: Handoff[] = []
  /** Epochs that the holder minted, by extent. */
  readonly minted: number[] = Array.from({ length: EXTENTS }, () => 1)
  greatest = FIRST_TOKEN

  constructor() {
    this.heads[0] = {
      spec: SPEC,
      sizeBytes: EXTENTS * MiB,
      token: FIRST_TOKEN,
      writer: FIRST_TOKEN,
      holder: undefined,
      mover: undefined,
      runs: [run(0, EXTENTS)],
      released: [],
      receiving: []
    }
  }

  /** Applies a step twice: the second time must change nothing that matters. */
  put(node: number, next: ShardHead | string): boolean {
    if (typeof next === 'string') return false
    const before = this.heads[node]
    if (before !== undefined) {
      expect(compareTokens(next.token, before.token)).toBeGreaterThanOrEqual(0)
      expect(next.sizeBytes).toBeGreaterThanOrEqual(before.sizeBytes)
    }
    indexRuns(next.runs) // asserts that they do not overlap
    this.heads[node] = next
    return true
  }

  holdersOf(extent: number): number[] {
    const chunk = chunkOf(extent)
    return NODES.flatMap((_, i) => (this.heads[i]?.runs.some(one => covers(one, chunk)) ? [i] : []))
  }

  /** Somebody holds it, or a committed release leads to a target that is prepared for it. */
  isSafe(extent: number): boolean {
    if (this.holdersOf(extent).length === 1) return true
    const chunk = chunkOf(extent)
    return this.handoffs.some(({ id, source, target }) => {
      const entry = releasedBy(this.heads[source], id)
      const there = this.heads[target]?.receiving.find(one => one.handoff === id)
      const isSame = there !== undefined && entry !== undefined && covers(entry.run, chunk)
      return isSame && there.isPrepared && compareEpochs(there.run.epoch, entry.run.epoch) === 0
    })
  }
}

function chunkOf(extent: number): ChunkKey {
  return { volume: VOLUME, extent, generation: 1, column: 0, replica: 0 }
}

function begin(world: World, extent: number, target: number): void {
  const [source] = world.holdersOf(extent)
  if (source === undefined || source === target) return
  const head = world.heads[source]
  const chunk = chunkOf(extent)
  const held = head?.runs.find(one => covers(one, chunk))
  if (head === undefined || held === undefined) return
  const id = (world.handoffs.length + 1).toString(16).padStart(16, '0') as HandoffId
  const { spec: shape, sizeBytes, token: known, writer } = head
  const volume = { spec: shape, sizeBytes, token: known, writer }
  const hello: Hello = { handoff: id, chunk, ...volume, epoch: held.epoch, reserveBytes: MiB }
  const from = NODES[source]
  if (from === undefined || !world.put(target, reserve(world.heads[target], from, hello))) return
  world.handoffs.push({ id, chunk, source, target, epoch: undefined })
}

/** One legal step of an open handoff; `what` decides which of several. */
function advance(world: World, handoff: Handoff, what: number): void {
  const { id, chunk, source, target } = handoff
  const from = world.heads[source]
  const to = world.heads[target]
  const released = releasedBy(from, id)
  if (released !== undefined) {
    const isHeld = world.put(target, hold(to, id, released.run.epoch)) || what % 2 === 0
    const isThere = (world.heads[target]?.runs ?? []).some(one => covers(one, chunk))
    if (isHeld && isThere) world.put(source, confirm(from, id))
    return
  }
  const entry = to?.receiving.find(one => one.handoff === id)
  if (entry === undefined || from === undefined) return
  if (!entry.isPrepared && what % 3 > 0) {
    const counter = (world.minted[chunk.extent] ?? 0) + 1
    world.minted[chunk.extent] = counter
    handoff.epoch = { token: world.greatest, counter }
    const wish: Prepare = {
      sizeBytes: from.sizeBytes,
      token: world.greatest,
      writer: world.greatest,
      epoch: handoff.epoch,
      digest: 'x'
    }
    if (compareTokens(from.token, world.greatest) === 0) world.put(target, prepare(to, id, wish))
  } else if (entry.isPrepared && what % 3 > 0 && handoff.epoch !== undefined) {
    const held = from.runs.find(one => covers(one, chunk))
    if (held === undefined || compareEpochs(handoff.epoch, held.epoch) <= 0) return
    if (compareTokens(handoff.epoch.token, world.greatest) !== 0) return
    const wish = { chunk, handoff: id, to: NODES[target] ?? ('x' as NodeId), token: world.greatest }
    world.put(source, release(from, { ...wish, heldAt: held.epoch, epoch: handoff.epoch }))
  } else if (what % 2 === 0) world.put(target, demote(to, id))
  else world.put(target, drop(to, id))
}

/** A later attach: every shard that is there grants a greater token. */
function attach(world: World, counter: number): void {
  world.greatest = token(counter)
  world.minted.fill(0)
  for (const [i, head] of world.heads.entries()) {
    if (head !== undefined)
      world.heads[i] = { ...head, token: world.greatest, writer: world.greatest }
  }
}

const action = fc.record({
  kind: fc.integer({ min: 0, max: 9 }),
  extent: fc.integer({ min: 0, max: EXTENTS - 1 }),
  node: fc.integer({ min: 0, max: NODES.length - 1 }),
  what: fc.integer({ min: 0, max: 5 })
})

it('leaves every replica with one holder, or on its way to one that is prepared', () => {
  let passed = 0
  fc.assert(
    fc.property(fc.array(action, { minLength: 20, maxLength: 200 }), actions => {
      const world = new World()
      let attaches = 1
      for (const { kind, extent, node, what } of actions) {
        if (kind < 3) begin(world, extent, node)
        else if (kind === 9) attach(world, ++attaches)
        else {
          const handoff = world.handoffs.at(-1 - (extent % Math.max(1, world.handoffs.length)))
          if (handoff !== undefined) advance(world, handoff, what)
        }
        for (let each = 0; each < EXTENTS; each++) {
          expect(world.holdersOf(each).length).toBeLessThanOrEqual(1)
          expect(world.isSafe(each)).toBe(true)
        }
      }
      passed += world.heads.slice(1).filter(head => (head?.runs.length ?? 0) > 0).length
    }),
    { numRuns: 300 }
  )
  expect(passed).toBeGreaterThan(50)
})

it('takes a chunk back only at a greater epoch, and only what was not confirmed', () => {
  const world = new World()
  begin(world, 1, 1)
  const [handoff] = world.handoffs
  if (handoff === undefined) throw new Error('no handoff')
  advance(world, handoff, 1)
  advance(world, handoff, 1)
  const released = world.heads[0]
  expect(releasedBy(released, handoff.id)).toBeDefined()
  const later = { token: FIRST_TOKEN, counter: 99 }
  expect(reclaim(released, handoff.id, FIRST_TOKEN, FIRST_EPOCH)).toMatch(/greater/)
  const back = reclaim(released, handoff.id, FIRST_TOKEN, later)
  expect(typeof back === 'string' ? back : back.runs.length).toBe(3)
  const confirmed = confirm(released, handoff.id)
  if (typeof confirmed === 'string') throw new Error(confirmed)
  expect(mustKeep(confirmed, handoff.chunk)).toBe(false)
  expect(reclaim(confirmed, handoff.id, FIRST_TOKEN, later)).toMatch(/no such release/)
  expect(prune(confirmed, () => true)).toMatchObject({ released: [] })
  expect(prune(released, () => true)).toBe(released)
})

it('refuses a hello for a chunk that another handoff has prepared: a late frame undoes nothing', () => {
  const world = new World()
  begin(world, 0, 1)
  const [handoff] = world.handoffs
  if (handoff === undefined) throw new Error('no handoff')
  advance(world, handoff, 1)
  begin(world, 0, 1)
  expect(world.handoffs).toHaveLength(1)
})
