// Goal: the shard server and the real store belong together: the store keeps the promises that the
// server builds on, and what the server acknowledged is there after a crash.
// Method: the suite of the port, then writers with flushes and FUA; the process dies or the host
// loses power (the disk is replaced by its crash image), and a new server is asked.
import { describe, expect, it } from 'vitest'
import { systemClock, systemRandom } from '../../node/clock.ts'
import { openStore } from '../../node/storage/store.ts'
import type { ChunkStore } from '../../node/storage/types.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { BLOCK_BYTES, GiB } from '../../protocols/limits.ts'
import { Flag, Op, Status } from '../../protocols/shard-io/messages.ts'
import { seededRandom } from '../support/gateway-mesh.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { harness, type IoClient, quietLog, token, volumeId } from '../support/shard-harness.ts'
import { describeChunkStore } from '../support/shard-store-suite.ts'

const V = volumeId(1)
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const BLOCKS = 24

function open(disk: MemoryDisk): Promise<ChunkStore> {
  const ports = { clock: systemClock, random: systemRandom, log: quietLog }
  return openStore({ disk, capacityBytes: GiB, ...ports })
}

describeChunkStore('the store on a disk', async () => {
  let disk = new MemoryDisk()
  return {
    open: () => open(disk),
    reopen: async (after, store) => {
      const image = disk.crashImage({ loss: after === 'kill' ? 'none' : 'all' })
      // The dead process goes on with a disk that nobody looks at any more.
      await store.close()
      disk = image
      return open(disk)
    }
  }
})

/** What each block was last written with, and what of it is flushed: a stamp, 0 for a hole. */
class Expected {
  readonly acknowledged = new Array<number>(BLOCKS).fill(0)
  readonly flushed = new Array<number>(BLOCKS).fill(0)

  /** Stamps that a block may show after the power failed: the flushed one or any later one. */
  mayShow(block: number, stamp: number): boolean {
    const floor = this.flushed[block] ?? 0
    return stamp === floor || (stamp > floor && stamp <= (this.acknowledged[block] ?? 0))
  }
}

async function work(client: IoClient, seed: number): Promise<Expected> {
  const { fraction } = seededRandom(seed)
  const expected = new Expected()
  for (let stamp = 1; stamp <= 60; stamp++) {
    const block = Math.floor(fraction() * BLOCKS)
    const data = Buffer.alloc(BLOCK_BYTES, stamp)
    const isForced = fraction() < 0.1
    const answer = await client.ask({
      op: Op.write,
      flags: isForced ? Flag.fua : 0,
      offsetBytes: block * BLOCK_BYTES,
      lengthBytes: data.length,
      data,
      crcs: blockChecksums(data)
    })
    expect(answer.status).toBe(Status.ok)
    expected.acknowledged[block] = stamp
    if (isForced) expected.flushed[block] = stamp
    if (fraction() < 0.1) {
      expect((await client.ask({ op: Op.flush })).status).toBe(Status.ok)
      expected.flushed.splice(0, BLOCKS, ...expected.acknowledged)
    }
  }
  return expected
}

async function readBack(client: IoClient): Promise<number[]> {
  const stamps: number[] = []
  for (let block = 0; block < BLOCKS; block++) {
    const range = { offsetBytes: block * BLOCK_BYTES, lengthBytes: BLOCK_BYTES }
    const answer = await client.ask({ op: Op.read, ...range })
    expect(answer.status).toBe(Status.ok)
    const stamp = answer.data[0] ?? -1
    expect(Buffer.compare(answer.data, Buffer.alloc(BLOCK_BYTES, stamp))).toBe(0)
    stamps.push(stamp)
  }
  return stamps
}

describe(`a server on the store (SEED=${SEED})`, () => {
  it.each([
    ['none', 'acknowledged'],
    ['all', 'flushed'],
    ['some', 'flushed']
  ] as const)(
    'serves after a crash with loss of %s unsynced bytes what was %s',
    async (loss, _what) => {
      for (let round = 0; round < 5; round++) {
        const seed = SEED + round
        const disk = new MemoryDisk()
        const store = await open(disk)
        const mesh = harness({ store })
        await mesh.attach(V)
        const client = await mesh.connect(V)
        await client.hello(1)
        const expected = await work(client, seed)
        const image = disk.crashImage({ loss, seed })
        await mesh.server.close()
        await store.close()

        const next = await open(image)
        const again = harness({ store: next })
        expect((await (await again.connect(V, token(1))).hello(9)).status).toBe(Status.staleToken)
        const reader = await again.connect(V)
        const hello = await reader.hello(1)
        expect(hello.incarnation?.number).toBeGreaterThan(store.incarnation.number)
        const stamps = await readBack(reader)
        if (loss === 'none') expect(stamps).toEqual(expected.acknowledged)
        for (let block = 0; block < BLOCKS; block++) {
          expect(expected.mayShow(block, stamps[block] ?? -1)).toBe(true)
        }
        await again.server.close()
        await next.close()
      }
    }
  )
})
