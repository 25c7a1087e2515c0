// Goal: a flush covers every change that its client saw answered, whatever other clients write and
//   flush at the same moment, and however long each sync of the disk takes.
// Method: clients that each wait for their own answers work side by side on one store; whoever is
//   answered a flush notes what its blocks must hold from that step on. At each noted step
//   power fails and takes all that is unsynced, or some; every noted block is read.
import { describe, expect, it } from 'vitest'
import type { ChunkStore } from '../../node/storage/types.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { generator, type MemoryDisk } from '../support/memory-disk.ts'
import { chunkKey, freshRig, openRig, put, versionsAt } from '../support/storage-rig.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const CLIENTS = 6
const OPERATIONS = 30
const ROUNDS = 5
const CLIENT_BLOCKS = 256
const BYPASS_BLOCKS = 16

interface Promised {
  readonly step: number
  readonly client: number
  /** By block, how many of its versions had been called and answered. */
  readonly counts: ReadonlyMap<number, number>
}

interface Called {
  readonly version: number
  readonly step: number
}

interface Run {
  readonly disk: MemoryDisk
  /** By client and block, in order of the calls. */
  readonly calls: ReadonlyArray<Map<number, Called[]>>
  readonly promises: Promised[]
}

async function hop(random: () => number, most: number): Promise<void> {
  const hops = Math.floor(random() * most)
  for (let i = 0; i < hops; i++) await Promise.resolve()
}

async function recordStorm(seed: number): Promise<Run> {
  const random = generator(seed)
  const { disk, store, clock } = await freshRig({ seed })
  disk.faults.delaying = () => hop(random, 60)
  const calls = Array.from({ length: CLIENTS }, () => new Map<number, Called[]>())
  const run: Run = { disk, calls, promises: [] }
  const clients = calls.map((_, client) => work(run, store, client, random))
  let isOver = false
  const all = Promise.all(clients).then(() => {
    isOver = true
  })
  while (!isOver) {
    await new Promise<void>(resolve => setImmediate(resolve))
    clock.advance(300)
  }
  await all
  return run
}

async function work(run: Run, store: ChunkStore, client: number, random: () => number) {
  const key = chunkKey(client % 2)
  const start = client * CLIENT_BLOCKS
  const called = run.calls[client] ?? new Map<number, Called[]>()
  let fresh = start + BYPASS_BLOCKS
  for (let i = 1; i <= OPERATIONS; i++) {
    await hop(random, 12)
    const isBypass = random() < 0.4 && fresh + BYPASS_BLOCKS <= start + CLIENT_BLOCKS
    const isTrim = !isBypass && random() < 0.1
    const first = isBypass ? fresh : start + Math.floor(random() * BYPASS_BLOCKS)
    const count = isBypass ? BYPASS_BLOCKS : 1
    if (isBypass) fresh += BYPASS_BLOCKS
    for (let block = first; block < first + count; block++) {
      const call = { version: isTrim ? 0 : i, step: run.disk.history.length }
      called.set(block, [...(called.get(block) ?? []), call])
    }
    if (isTrim) await store.trim(key, first * BLOCK_BYTES, BLOCK_BYTES)
    else await put(store, key, first, i, count)
    if (random() < 0.5) continue
    const counts = new Map([...called].map(([block, versions]) => [block, versions.length]))
    await store.flush()
    run.promises.push({ step: run.disk.history.length, client, counts })
  }
}

/** What of the promises made so far a crash at this step broke. */
async function broken(run: Run, step: number, loss: 'some' | 'all', seed: number) {
  const { store } = await openRig(run.disk.crashImage({ steps: step, loss, seed }), { seed })
  const wrong: string[] = []
  for (let client = 0; client < CLIENTS; client++) {
    const made = run.promises.filter(one => one.client === client && one.step <= step)
    for (const [block, count] of made.at(-1)?.counts ?? []) {
      const versions = run.calls[client]?.get(block) ?? []
      const later = versions.slice(count).filter(call => call.step <= step)
      const allowed = [versions[count - 1], ...later].map(call => call?.version)
      const [found] = await versionsAt(store, chunkKey(client % 2), block)
      if (!allowed.includes(found)) wrong.push(`step ${step}: block ${block} is ${found}`)
    }
  }
  await store.close()
  return wrong
}

describe(`flushes side by side (SEED=${SEED})`, () => {
  it.each(['all', 'some'] as const)(
    'each keep their promise when power takes of the unsynced: %s',
    async loss => {
      const wrong: string[] = []
      for (let round = 0; round < ROUNDS; round++) {
        const run = await recordStorm(SEED + round)
        const steps = new Set(run.promises.map(({ step }) => step))
        for (const step of steps) wrong.push(...(await broken(run, step, loss, SEED + step)))
      }
      expect(wrong).toEqual([])
    },
    120_000
  )
})
