/**
 * The end of a simulation: the weather clears, and then everything must come right within bounded
 * time: what waits ends, nodes and attachments come up, the whole volume reads as the model says,
 * space is given back, all maps say the same.
 */
import { shardCalls } from '../../node/gateway/shard-calls.ts'
import { messageOf } from '../../protocols/fault.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { changesIn, SECTOR_BYTES, sectorsOf } from './content.ts'
import { holdersDiffer, mapsDiffer } from './map-check.ts'
import type { Simulation } from './simulation.ts'
import type { SimVolume } from './volume.ts'

const UP_MS = 60_000
const IDLE_MS = 60_000
const ATTACH_MS = 60_000
const HANDOFF_MS = 90_000
const CALM_MS = 2_000
const READ_MS = 60_000
const CONVERGE_MS = 180_000
const SPACE_MS = 60_000
const LOOK_MS = 20
const REMOVING_MS = 5
const AGREE_LOOK_MS = 1_000
const READ_BYTES = 128 * KiB
/** Readers of a volume that is being removed. */
const REMOVED_READS = 6
/** What the store keeps of a volume without data: tables, manifest, journal. */
const LEFT_BYTES = 6 * MiB

export async function finale(sim: Simulation): Promise<void> {
  sim.note('weather', 'clears')
  sim.faults.clear()
  const areUp = () => sim.nodes.every(node => node.isUp && !node.isBroken)
  await must(sim, 'every node is up', areUp, UP_MS)
  const areIdle = () => sim.volumes.every(volume => volume.clients.every(client => !client.isBusy))
  await must(sim, 'every request was answered', areIdle, IDLE_MS, () => waiting(sim))
  await must(
    sim,
    'every handoff is over',
    () => areOver(sim),
    HANDOFF_MS,
    () => open(sim)
  )
  const areHeld = () => sim.volumes.every(isSettled)
  await must(sim, 'every volume is attached', areHeld, ATTACH_MS)
  // What a dead gateway asked of the shards last may still be under way, and take a volume away.
  await sim.until(() => false, CALM_MS)
  await must(sim, 'every volume stays attached', areHeld, ATTACH_MS)
  for (const volume of sim.volumes) await during(sim, readAll(sim, volume), 'the volume reads')
  sim.isStormy = false
  for (const volume of sim.volumes) {
    await during(sim, restore(sim, volume), 'the volume takes writes')
    let counted = ''
    const isCounted = () => {
      counted = shardsDiffer(sim, volume, dataBytes)
      return counted === ''
    }
    let dataBytes = 0
    const count = async () => {
      dataBytes = await countData(volume)
    }
    await during(sim, count(), 'block status is answered')
    await must(sim, 'the space is right', isCounted, SPACE_MS, () => counted)
    await during(sim, trimAll(sim, volume), 'the volume is trimmed')
  }
  const isFreed = () => sim.nodes.every(node => allocated(sim, node.name) === 0)
  await must(sim, 'trimmed space is given back', isFreed, SPACE_MS)
  const isSmall = () => sim.storage.every(node => node.store.usedBytes() < LEFT_BYTES)
  await must(sim, 'trimmed space is given back to the disk', isSmall, SPACE_MS)
  let agreedMs = 0
  const agree = () => {
    if (sim.timeline.nowMs < agreedMs) return false
    agreedMs = sim.timeline.nowMs + AGREE_LOOK_MS
    return mapsAreWrong(sim) === undefined
  }
  await must(sim, 'all maps say what is', agree, CONVERGE_MS, () => mapsAreWrong(sim) ?? '')
  for (const volume of sim.volumes) {
    await during(sim, restore(sim, volume), 'the volume takes writes')
    await during(sim, remove(sim, volume), 'the volume is removed')
  }
  const isGone = () => sim.storage.every(node => node.running?.store?.shards().length === 0)
  await must(sim, 'removed shards are gone', isGone, SPACE_MS)
}

async function must(
  sim: Simulation,
  what: string,
  condition: () => boolean,
  withinMs: number,
  detail: () => string = () => ''
): Promise<void> {
  if (sim.failures.length > 0) return
  if (await sim.until(atIntervals(sim, condition), withinMs)) return
  if (sim.failures.length === 0) {
    sim.fail(`after the faults, within ${withinMs} ms: ${what}: not so. ${detail()}`)
  }
}

/** Asked at most every LOOK_MS: some of it takes long. */
function atIntervals(sim: Simulation, condition: () => boolean): () => boolean {
  let nextMs = 0
  return () => {
    if (sim.timeline.nowMs < nextMs) return false
    nextMs = sim.timeline.nowMs + LOOK_MS
    return condition()
  }
}

async function during(sim: Simulation, work: Promise<void>, what: string): Promise<void> {
  if (sim.failures.length > 0) {
    work.catch(() => {})
    return
  }
  let isDone = false
  work.then(
    () => {
      isDone = true
    },
    (error: unknown) => sim.fail(`after the faults, ${what}: ${messageOf(error)}`)
  )
  await must(sim, what, () => isDone, READ_MS)
}

/** They differ, or they agree on something else than the shards say. */
function mapsAreWrong(sim: Simulation): string | undefined {
  const differ = mapsDiffer(sim.nodes)
  if (differ !== undefined) return differ
  for (const volume of sim.volumes) {
    for (const node of sim.nodes) {
      const differ = holdersDiffer(node, volume)
      if (differ !== undefined) return differ
    }
  }
  return undefined
}

/** Nothing is passing: every replica has one holder, and no record of a handoff is left open. */
function areOver(sim: Simulation): boolean {
  return sim.mover.isIdle && open(sim) === ''
}

function open(sim: Simulation): string {
  const left: string[] = []
  for (const { name, running } of sim.storage) {
    for (const { released, receiving } of running?.store?.shards() ?? []) {
      const unconfirmed = released.filter(one => one.handoff !== undefined)
      const prepared = receiving.filter(one => one.isPrepared)
      if (unconfirmed.length > 0) left.push(`${name} has released and not confirmed`)
      if (prepared.length > 0) left.push(`${name} has prepared and not held`)
    }
  }
  return left.join(', ')
}

function isSettled(volume: SimVolume): boolean {
  return volume.held !== undefined && !volume.isDetaching && !volume.isAttaching
}

function waiting(sim: Simulation): string {
  const clients = sim.volumes.flatMap(volume => volume.clients)
  return clients.map(client => client.waitsFor ?? '').join(' | ')
}

async function readAll(sim: Simulation, volume: SimVolume): Promise<void> {
  const { model, number, sizeBytes } = volume
  for (let offset = 0; offset < sizeBytes; offset += READ_BYTES) {
    const length = Math.min(READ_BYTES, sizeBytes - offset)
    const held = heldOf(volume)
    const read = model.reads(held.number, offset / SECTOR_BYTES, (offset + length) / SECTOR_BYTES)
    const calledMs = sim.timeline.nowMs
    const values = await readAround(volume, offset, length)
    const wrong = model.found(read, values, calledMs)
    if (wrong !== undefined) throw new Error(`volume ${number}: ${wrong}`)
  }
}

/** Rotten blocks must read as an error, or as what was written; never as anything else. */
async function readAround(
  volume: SimVolume,
  offset: number,
  length: number
): Promise<Array<number | undefined>> {
  const { device } = heldOf(volume)
  const { number, rotten } = volume
  const blocks = Array.from({ length: length / BLOCK_BYTES }, (_, i) => offset / BLOCK_BYTES + i)
  if (!blocks.some(block => rotten.has(block))) {
    return changesIn(number, offset, await device.read(offset, length))
  }
  const values: Array<number | undefined> = []
  for (const block of blocks) {
    const at = block * BLOCK_BYTES
    try {
      values.push(...changesIn(number, at, await device.read(at, BLOCK_BYTES)))
    } catch (error) {
      if (!rotten.has(block)) throw error
      values.push(...Array.from({ length: BLOCK_BYTES / SECTOR_BYTES }, () => undefined))
    }
  }
  return values
}

/** Writes rotten blocks anew; then the volume has no fault left, and takes whatever is written. */
async function restore(sim: Simulation, volume: SimVolume): Promise<void> {
  const { model, number, rotten, random, sizeBytes } = volume
  const { device } = heldOf(volume)
  const blocks = new Set(rotten)
  rotten.clear()
  for (let i = 0; i < 8; i++) blocks.add(random.below(sizeBytes / BLOCK_BYTES))
  for (const block of blocks) {
    const offset = block * BLOCK_BYTES
    const [from, to] = [offset / SECTOR_BYTES, (offset + BLOCK_BYTES) / SECTOR_BYTES]
    const change = model.called('own', from, to, false)
    const calledMs = sim.timeline.nowMs
    await device.write(offset, sectorsOf(number, change.id, offset, BLOCK_BYTES), { fua: false })
    const wrong = model.answered(change, from, to, calledMs)
    if (wrong !== undefined) throw new Error(wrong)
  }
  await device.flush()
  await readAll(sim, volume)
}

/** Bytes that block status calls data; within what the model is certain of. */
async function countData(volume: SimVolume): Promise<number> {
  const { sizeBytes } = volume
  const { device } = heldOf(volume)
  let dataBytes = 0
  for (let at = 0; at < sizeBytes; ) {
    for (const { lengthBytes, hole } of await device.status(at, sizeBytes - at)) {
      if (!hole) dataBytes += lengthBytes
      at += lengthBytes
    }
  }
  const { least, most } = volume.expectedBytes()
  if (dataBytes >= least && dataBytes <= most) return dataBytes
  throw new Error(`${dataBytes} bytes are allocated, the model says ${least} to ${most}`)
}

/** Why the shards' own count is another; it is exact once everything was applied. */
function shardsDiffer(sim: Simulation, { spec }: SimVolume, dataBytes: number): string {
  let shardBytes = 0
  for (const node of sim.storage) shardBytes += node.running?.store?.allocatedBytes(spec.id) ?? 0
  if (shardBytes === dataBytes) return ''
  return `block status says ${dataBytes} bytes, the shards say ${shardBytes}`
}

async function trimAll(sim: Simulation, volume: SimVolume): Promise<void> {
  const { model, sizeBytes } = volume
  const { device } = heldOf(volume)
  const change = model.called('zeroes', 0, sizeBytes / SECTOR_BYTES, false)
  const calledMs = sim.timeline.nowMs
  await device.trim(0, sizeBytes, { fua: false })
  const wrong = model.answered(change, 0, sizeBytes / SECTOR_BYTES, calledMs)
  if (wrong !== undefined) throw new Error(wrong)
  await device.flush()
}

function allocated(sim: Simulation, name: string): number {
  const node = sim.nodes.find(known => known.name === name)
  const store = node?.running?.store
  if (store === undefined) return 0
  return sim.volumes.reduce((sum, volume) => sum + store.allocatedBytes(volume.spec.id), 0)
}

function heldOf(volume: SimVolume) {
  if (volume.held === undefined) throw new Error(`volume ${volume.number} is not attached`)
  return volume.held
}

/** Whoever still reads a volume that is removed gets its data or an error, never zeroes. */
async function remove(sim: Simulation, volume: SimVolume): Promise<void> {
  const held = heldOf(volume)
  const { model, number, spec, sizeBytes, random } = volume
  volume.isOver = true
  const calls = shardCalls(held.running.rpc)
  const withShard = sim.storage.filter(node => node.running?.store?.shard(spec.id) !== undefined)
  // As node/volumes does: a shard with a part of a copy may know a mover's token that is greater.
  const counters = withShard.map(node => node.running?.store?.shard(spec.id)?.token.counter ?? 0)
  const token = { ...held.device.token, counter: Math.max(...counters) + 1 }
  const removals = withShard.map(node => calls(node.id, { call: 'remove', volume: spec.id, token }))
  await sleep(sim, REMOVING_MS)
  const reads: Array<Promise<void>> = []
  // One chunk answers for a whole unit, or for none of it.
  const length = spec.stripeUnitBytes
  const first = random.below(sizeBytes / length)
  for (let i = 0; i < sizeBytes / length && reads.length < REMOVED_READS; i++) {
    const offset = ((first + i) % (sizeBytes / length)) * length
    const [from, to] = [offset / SECTOR_BYTES, (offset + length) / SECTOR_BYTES]
    const sectors = Array.from({ length: to - from }, (_, i) => from + i)
    if (sectors.every(sector => model.certain(sector)?.value === 0)) continue
    const read = model.reads(held.number, from, to)
    const calledMs = sim.timeline.nowMs
    const judge = (parts: Uint8Array[]) => {
      const wrong = model.found(read, changesIn(number, offset, parts), calledMs)
      if (wrong !== undefined) sim.fail(`while volume ${number} was removed: ${wrong}`)
    }
    reads.push(held.device.read(offset, length).then(judge, () => {}))
  }
  await Promise.all(reads)
  for (const answer of await Promise.all(removals)) {
    if (answer.is !== 'done') throw new Error(`a shard answered ${answer.is}`)
  }
}

function sleep(sim: Simulation, ms: number): Promise<void> {
  return new Promise(resolve => {
    sim.timeline.after(ms, resolve)
  })
}
