// Goal: a power loss of the disk in memory takes nothing that a sync covered.
// Method: syncs of one file that overlap, the older of which ends last; then images of what stays.
import { expect, it } from 'vitest'
import { MemoryDisk } from '../support/memory-disk.ts'

it('keeps what the later of two overlapping syncs covered, whichever ends last', async () => {
  const disk = new MemoryDisk()
  const ends: Array<() => void> = []
  disk.faults.delaying = () => new Promise(resolve => ends.push(resolve))
  const file = await disk.open('file', 'new')
  await disk.syncDirectory('.')
  const older = file.sync()
  await file.write([Uint8Array.of(1, 2, 3)], 0)
  const newer = file.sync()
  while (ends.length < 2) await Promise.resolve()
  ends[1]?.()
  await newer
  ends[0]?.()
  await older
  const left = await disk.crashImage({ loss: 'all' }).open('file')
  const found = new Uint8Array(3)
  await left.read(found, 0)
  expect([...found]).toEqual([1, 2, 3])
})

it('gives images that do not share what is written later', async () => {
  const disk = new MemoryDisk()
  const file = await disk.open('file', 'new')
  await file.write([Uint8Array.of(1, 1, 1)], 0)
  const image = disk.crashImage({ loss: 'none' })
  await file.write([Uint8Array.of(2)], 0)
  const copy = await image.open('file')
  await copy.write([Uint8Array.of(3)], 1)
  const bytesOf = async (of: MemoryDisk) => {
    const bytes = new Uint8Array(3)
    await (await of.open('file')).read(bytes, 0)
    return [...bytes]
  }
  expect(await bytesOf(disk)).toEqual([2, 1, 1])
  expect(await bytesOf(image)).toEqual([1, 3, 1])
  expect(await bytesOf(image.crashImage({ loss: 'none' }))).toEqual([1, 3, 1])
})
