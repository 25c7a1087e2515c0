// Goal: a chunk that was freed never shows its old bytes again, and what is written to it when it
//   comes back is never lost, whatever order crash, checkpoint and re-creation happen in; a shard
//   that was forgotten stays away until it is saved anew.
// Method: record a seeded run that writes (mostly bypasses), frees, forgets and saves again; build
//   the image of a crash at every step of it, open it, judge every block. Some images crash again
//   during recovery and the first checkpoint after it.
import { describe, expect, it } from 'vitest'
import { MemoryDisk } from '../support/memory-disk.ts'
import { judgeMoves, type MovingRun, recordMoves } from '../support/storage-moves.ts'
import { chunkKey, openRig, put, shardRecord, VOLUME } from '../support/storage-rig.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const OPERATIONS = 100
/** Every so many-th step of a run is looked at; STRIDE=1 looks at all. */
const STRIDE = Number(process.env.STRIDE ?? 5)

async function judgeImage(run: MovingRun, image: MemoryDisk, step: number, isPowerLoss: boolean) {
  try {
    const { store } = await openRig(image, { seed: step })
    const verdict = await judgeMoves(run, store, step, isPowerLoss)
    await store.close()
    return verdict ?? (await judgeClosed(run, image, step, isPowerLoss))
  } catch (error) {
    return `did not open: ${error}`
  }
}

/** Again after everything was applied, and empty chunks were dropped. */
async function judgeClosed(run: MovingRun, image: MemoryDisk, step: number, isPowerLoss: boolean) {
  const { store } = await openRig(image, { seed: step + 1 })
  const verdict = await judgeMoves(run, store, step, isPowerLoss)
  const files = image.paths().filter(path => path.endsWith('.data'))
  if (files.length > store.chunks(VOLUME).length) return 'files of no chunk are left'
  await store.close()
  return verdict === undefined ? undefined : `in the next start ${verdict}`
}

describe(`chunks that come and go (SEED=${SEED})`, () => {
  it.each(['none', 'some', 'all'] as const)(
    'show nothing old and lose nothing new after a crash at any step, loss of unsynced data: %s',
    async loss => {
      const wrong: string[] = []
      const run = await recordMoves(new MemoryDisk(), SEED, OPERATIONS)
      expect(run.seen.filesRemoved).toBeGreaterThan(0)
      for (let step = SEED % STRIDE; step <= run.disk.history.length; step += STRIDE) {
        const image = run.disk.crashImage({ steps: step, loss, seed: SEED + step })
        const verdict = await judgeImage(run, image, step, loss !== 'none')
        if (verdict !== undefined) wrong.push(`step ${step}: ${verdict}`)
      }
      expect(wrong).toEqual([])
    },
    120_000
  )

  it('do so when power fails again during recovery or the first checkpoint after it', async () => {
    const run = await recordMoves(new MemoryDisk(), SEED + 1000, OPERATIONS)
    const wrong: string[] = []
    for (let step = 10; step <= run.disk.history.length; step += 41) {
      const first = run.disk.crashImage({ steps: step, loss: 'some', seed: SEED + step })
      const { store } = await openRig(first, { seed: step })
      await store.close()
      for (let again = 0; again <= first.history.length; again += 5) {
        const image = first.crashImage({ steps: again, loss: 'some', seed: SEED + again })
        const verdict = await judgeImage(run, image, step, true)
        if (verdict !== undefined) wrong.push(`step ${step}, then ${again}: ${verdict}`)
      }
    }
    expect(wrong).toEqual([])
  }, 120_000)
})

describe('a write of a chunk that is being dropped', () => {
  it('is there, whatever step of the checkpoint it met, and after a crash at any later step', async () => {
    const wrong: string[] = []
    for (let delay = 0; delay < 60; delay += 2) {
      const disk = new MemoryDisk()
      const { store, clock } = await openRig(disk)
      await store.saveShard(shardRecord())
      await put(store, chunkKey(0), 0, 1, 32)
      await store.flush()
      clock.advance(10_000)
      for (let i = 0; i < 200; i++) await Promise.resolve()
      await store.freeChunk(chunkKey(0))
      await store.flush()
      clock.advance(1000)
      for (let i = 0; i < 100; i++) await Promise.resolve()
      clock.advance(10_000)
      for (let i = 0; i < delay; i++) await Promise.resolve()
      await put(store, chunkKey(0), 0, 2, 32)
      await store.flush()
      const from = disk.history.length
      await store.close()
      for (let steps = from; steps <= disk.history.length; steps += 3) {
        const image = disk.crashImage({ steps, loss: 'all' })
        const next = await openRig(image)
        const { data } = await next.store.read(chunkKey(0), 0, 32 * 4096)
        const versions = new Set(new Uint32Array(data.buffer, data.byteOffset, data.length / 4))
        if (versions.size !== 1 || !versions.has(2))
          wrong.push(`${delay}/${steps}: ${[...versions]}`)
        await next.store.close()
      }
    }
    expect(wrong).toEqual([])
  }, 60_000)
})
