// Goal: starts are counted durably, and the operator's word to go on after a newer start never
// risks the number that is there.
// Method: a disk in memory, whose two slots are read back.
import { describe, expect, it } from 'vitest'
import { systemRandom } from '../../node/clock.ts'
import type { Log } from '../../node/ports.ts'
import { continueAfter, countStart } from '../../node/start-count.ts'
import { decodeSlot, INCARNATION_FILE } from '../../node/storage/incarnation.ts'
import { MemoryDisk } from '../support/memory-disk.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

describe('the start counter', () => {
  it('grows by one with each start', async () => {
    const disk = new MemoryDisk()
    for (const number of [1, 2, 3]) {
      expect((await countStart(disk, systemRandom, silent)).number).toBe(number)
    }
  })

  it.each([7, 8])('goes on after start %i of another copy', async known => {
    const disk = new MemoryDisk()
    await countStart(disk, systemRandom, silent)
    await continueAfter(disk, systemRandom, silent, known)
    expect((await countStart(disk, systemRandom, silent)).number).toBeGreaterThan(known)
  })

  it.each([7, 8])('leaves the slot of the present number whole while %i is noted', async known => {
    const disk = new MemoryDisk()
    await countStart(disk, systemRandom, silent)
    const present = await countStart(disk, systemRandom, silent)
    await continueAfter(disk, systemRandom, silent, known)
    expect(await slotsOf(disk)).toContainEqual(present)
  })
})

async function slotsOf(disk: MemoryDisk): Promise<unknown[]> {
  const file = await disk.open(INCARNATION_FILE)
  const bytes = Buffer.alloc(await file.size())
  await file.read(bytes, 0)
  return [decodeSlot(bytes.subarray(0, 4096)), decodeSlot(bytes.subarray(4096))]
}
