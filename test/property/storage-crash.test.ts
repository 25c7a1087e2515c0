// Goal: whatever a crash leaves on the disk, the store opens; everything flushed is there, every
//   block reads as its flushed version or a later one that was called, never a mix, never an error.
//   After the death of the process alone, everything answered is there.
// Method: record a seeded run on the memory disk; for every step of its history build the image of
//   a crash right there (unsynced writes kept, lost or torn by the seed), open it, judge every
//   block. Some images crash again during recovery. As the negative control, a disk whose syncs do
//   nothing must be caught.
import { describe, expect, it } from 'vitest'
import { MemoryDisk } from '../support/memory-disk.ts'
import { judge, type Run, recordRun } from '../support/storage-crash.ts'
import { openRig } from '../support/storage-rig.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const OPERATIONS = 160

async function judgeImage(run: Run, image: MemoryDisk, step: number, isPowerLoss: boolean) {
  try {
    const { store } = await openRig(image, { seed: step })
    const verdict = await judge(run, store, step, isPowerLoss)
    await store.close()
    return verdict
  } catch (error) {
    return `did not open: ${error}`
  }
}

async function sweep(run: Run, loss: 'none' | 'some' | 'all', seed: number): Promise<string[]> {
  const wrong: string[] = []
  for (let step = 0; step <= run.disk.history.length; step++) {
    const image = run.disk.crashImage({ steps: step, loss, seed: seed + step })
    const verdict = await judgeImage(run, image, step, loss !== 'none')
    if (verdict !== undefined) wrong.push(`step ${step}: ${verdict}`)
  }
  return wrong
}

describe(`a store after a crash (SEED=${SEED})`, () => {
  it.each(['none', 'some', 'all'] as const)(
    'loses nothing that it promised, at any step, with loss of unsynced data: %s',
    async loss => {
      const run = await recordRun(new MemoryDisk(), SEED, OPERATIONS)
      expect(await sweep(run, loss, SEED)).toEqual([])
    },
    120_000
  )

  it('loses nothing when power fails again during recovery', async () => {
    const run = await recordRun(new MemoryDisk(), SEED + 1, OPERATIONS)
    const wrong: string[] = []
    for (let step = 40; step <= run.disk.history.length; step += 23) {
      const first = run.disk.crashImage({ steps: step, loss: 'some', seed: SEED + step })
      const { store } = await openRig(first, { seed: step })
      await store.close()
      for (let again = 0; again <= first.history.length; again += 3) {
        const image = first.crashImage({ steps: again, loss: 'some', seed: SEED + again })
        const verdict = await judgeImage(run, image, step, true)
        if (verdict !== undefined) wrong.push(`step ${step}, then ${again}: ${verdict}`)
      }
    }
    expect(wrong).toEqual([])
  }, 120_000)

  it('keeps what it showed after a crash of the process when power fails next', async () => {
    const run = await recordRun(new MemoryDisk(), SEED + 2, OPERATIONS)
    const wrong: string[] = []
    for (let step = 40; step <= run.disk.history.length; step += 37) {
      const died = run.disk.crashImage({ steps: step, loss: 'none' })
      const { store } = await openRig(died, { seed: step })
      await store.flush()
      const fresh = died.crashImage({ loss: 'all' })
      const verdict = await judgeImage(run, fresh, step, false)
      if (verdict !== undefined) wrong.push(`step ${step}: ${verdict}`)
      await store.close()
    }
    expect(wrong).toEqual([])
  }, 120_000)

  it('is caught if its disk does not sync (negative control)', async () => {
    const disk = new MemoryDisk()
    disk.faults.syncIsNoOp = true
    const run = await recordRun(disk, SEED, OPERATIONS)
    const wrong: string[] = []
    for (let step = 100; step <= run.disk.history.length; step += 10) {
      const image = disk.crashImage({ steps: step, loss: 'some', seed: SEED + step })
      const verdict = await judgeImage(run, image, step, true)
      if (verdict !== undefined) wrong.push(verdict)
    }
    expect(wrong.length).toBeGreaterThan(0)
  }, 60_000)
})
