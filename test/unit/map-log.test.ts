// Goal: what `flush` promised is there after any crash; a torn or rotten log costs only what was
// torn or rotten; a disk that fails is reported, and made good as soon as it works again.
// Method: a disk in memory that loses what was not synced, in part or whole, at every step.
import { describe, expect, it } from 'vitest'
import type { MapLog } from '../../node/map/log.ts'
import { MAP_DIRECTORY, openMapLog } from '../../node/map/log.ts'
import type { LogEntry } from '../../node/map/log-format.ts'
import { encodeEntry, MAP_LOG, readLog } from '../../node/map/log-format.ts'
import type { Disk } from '../../node/ports.ts'
import { isFault } from '../../protocols/fault.ts'
import { encodeHeader } from '../../protocols/file-header.ts'
import { ZERO_NONCE } from '../../protocols/ids.ts'
import { MapDisk } from '../support/map-disk.ts'
import { StepClock } from '../support/map-mesh.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const FIRST = `${MAP_DIRECTORY}/log-1`

describe('the map log', () => {
  it('keeps what a start found and flushed, wherever the start before was killed', async () => {
    const disk = new MemoryDisk()
    const store = await open(disk)
    store.put(1)
    await store.log.flush()
    for (let steps = 0; steps <= disk.history.length; steps++) {
      const killed = disk.crashImage({ loss: 'none', steps })
      const second = await open(killed)
      second.put(2)
      await second.log.flush()
      const dark = await open(killed.crashImage({ loss: 'all' }))
      expect([steps, dark.values]).toEqual([steps, second.values])
    }
  })

  it('gives back everything that was flushed, after losing all that was not synced', async () => {
    const disk = new MapDisk()
    const store = await open(disk)
    for (let at = 1; at <= 20; at++) {
      store.put(at)
      if (at % 3 === 0) await store.log.flush()
    }
    for (const keep of [0, 0.3, 0.7, 1]) {
      const { values } = await open(disk.crash(keep))
      expect(values.slice(0, 18)).toEqual(Array.from({ length: 18 }, (_, i) => i + 1))
    }
  })

  it('gives back a prefix at every length to which the file may be cut', async () => {
    const bytes = Buffer.concat([
      encodeHeader(MAP_LOG),
      ...[1, 2, 3].map(noteOf).flatMap(encodeEntry)
    ])
    for (let length = 0; length <= bytes.length; length++) {
      const { entries, tornBytes, lostBytes } = readLog(bytes.subarray(0, length))
      expect(entries).toEqual([1, 2, 3].slice(0, entries.length).map(noteOf))
      expect(lostBytes).toBe(0)
      if (length === bytes.length) expect([entries.length, tornBytes]).toEqual([3, 0])
    }
  })

  it('appends after a torn tail as if it had never been', async () => {
    const disk = new MapDisk()
    const store = await open(disk)
    for (const at of [1, 2, 3]) store.put(at)
    await store.log.flush()
    store.put(4)
    await store.log.flush()
    const size = disk.size(FIRST) ?? 0
    const file = await disk.open(FIRST)
    await file.truncate(size - 5)
    const again = await open(disk)
    expect(again.values).toEqual([1, 2, 3])
    again.put(5)
    await again.log.flush()
    expect((await open(disk)).values).toEqual([1, 2, 3, 5])
  })

  it('uses what rot left, says so, and keeps the rotten file aside', async () => {
    const disk = new MapDisk()
    const store = await open(disk)
    for (const at of [1, 2, 3, 4]) {
      store.put(at)
      await store.log.flush()
    }
    const length = encodeEntry(noteOf(2)).reduce((sum, part) => sum + part.length, 0)
    disk.rot(FIRST, (disk.size(FIRST) ?? 0) - 2 * length - 1)
    const again = await open(disk)
    expect(again.values).toEqual([1, 3, 4])
    await again.log.flush()
    expect(await disk.list(MAP_DIRECTORY)).toEqual(['damaged-1', 'log-2'])
    expect((await open(disk.crash())).values).toEqual([1, 3, 4])
  })

  it('is replaced by a snapshot when it has grown, at no risk at any moment', async () => {
    const disk = new MapDisk()
    const store = await open(disk)
    const padding = 'x'.repeat(1_000)
    let flushed = 0
    for (let at = 1; at <= 6_000; at++) {
      store.put(at, padding)
      if (at % 500 !== 0) continue
      await store.log.flush()
      flushed = at
      const { values } = await open(disk.crash())
      expect(values.at(-1)).toBe(flushed)
    }
    expect(disk.size(FIRST)).toBeUndefined()
    expect((await disk.list(MAP_DIRECTORY)).length).toBe(1)
  })

  it('rejects the flush of a full disk, and stores all of it once there is room', async () => {
    const disk = new MapDisk()
    const clock = new StepClock()
    const store = await open(disk, clock)
    store.put(1)
    await store.log.flush()
    disk.failWith = 'ENOSPC'
    store.put(2)
    const error = await store.log.flush().catch((reason: unknown) => reason)
    expect(isFault(error, 'NO_SPACE')).toBe(true)
    store.put(3)
    disk.failWith = undefined
    await clock.run(5_000)
    expect((await open(disk.crash())).values).toEqual([1, 2, 3])
    await store.log.flush()
  })

  it('never appends to a file whose sync failed', async () => {
    const disk = new MapDisk()
    const store = await open(disk)
    store.put(1)
    await store.log.flush()
    disk.failWith = 'EIO'
    store.put(2)
    expect(isFault(await store.log.flush().catch((e: unknown) => e), 'IO_ERROR')).toBe(true)
    disk.failWith = undefined
    await store.log.flush()
    expect(await disk.list(MAP_DIRECTORY)).toEqual(['log-2'])
    expect((await open(disk.crash())).values).toEqual([1, 2])
  })

  it('reads any bytes without throwing', () => {
    const random = new SeededRandom(SEED)
    const bytes = Buffer.concat([
      encodeHeader(MAP_LOG),
      ...[1, 2, 3].map(noteOf).flatMap(encodeEntry)
    ])
    for (let n = 0; n < 2_000; n++) {
      const spoiled = Buffer.from(bytes)
      for (let i = 0; i <= random.below(4); i++)
        spoiled[random.below(bytes.length)] = random.below(256)
      readLog(spoiled)
      readLog(random.bytes(random.below(200)))
    }
  })
})

interface Store {
  readonly log: MapLog
  readonly values: number[]
  readonly put: (at: number, padding?: string) => void
}

/** A log of numbers; the snapshot is all numbers so far, or only the last if they are padded. */
async function open(disk: Disk, clock = new StepClock()): Promise<Store> {
  const values: number[] = []
  let isPadded = false
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const snapshot = () => (isPadded ? values.slice(-1) : values).map(noteOf)
  const take = (entry: LogEntry) => {
    if (entry.is === 'agreed') values.push(entry.at)
  }
  const log = await openMapLog({ disk, clock, log: silent, snapshot }, take)
  const put = (at: number, padding?: string) => {
    values.push(at)
    log.append(noteOf(at))
    if (padding === undefined) return
    isPadded = true
    const generation = { number: 1, id: ZERO_NONCE }
    const update = new TextEncoder().encode(padding)
    log.append({ is: 'update', document: 'mesh', generation, update, begins: false })
  }
  return { log, values, put }
}

function noteOf(at: number): LogEntry {
  return { is: 'agreed', at }
}
