// Goal: the shard server and the real store belong together: the store keeps the promises that the
// server builds on, and what the server acknowledged is there after a restart.
// Method: the suite of the port on a directory; then a server that is stopped and started on it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { systemClock, systemRandom } from '../../node/clock.ts'
import { openDisk } from '../../node/storage/real-disk.ts'
import { openStore } from '../../node/storage/store.ts'
import type { ChunkStore } from '../../node/storage/types.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { BLOCK_BYTES, GiB } from '../../protocols/limits.ts'
import { Flag, Op, Status } from '../../protocols/shard-io/messages.ts'
import { harness, quietLog, token, volumeId } from '../support/shard-harness.ts'
import { describeChunkStore } from '../support/shard-store-suite.ts'

const V = volumeId(1)
const directories: string[] = []

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true })
})

async function freshDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-shard-'))
  directories.push(directory)
  return directory
}

function open(directory: string): Promise<ChunkStore> {
  const ports = { clock: systemClock, random: systemRandom, log: quietLog }
  return openStore({ disk: openDisk(directory), capacityBytes: GiB, ...ports })
}

describeChunkStore('a directory', async () => {
  const directory = await freshDirectory()
  return {
    open: () => open(directory),
    // The death of a process and of power under the real store: storage-*.test.ts.
    reopen: async (_after, store) => {
      await store.close()
      return open(directory)
    }
  }
})

it('serves after a restart what was acknowledged before, to the same token alone', async () => {
  const directory = await freshDirectory()
  const store = await open(directory)
  const mesh = harness({ store })
  await mesh.attach(V)
  const client = await mesh.connect(V)
  await client.hello(1)
  const data = Buffer.alloc(4 * BLOCK_BYTES, 6)
  const range = { offsetBytes: BLOCK_BYTES, lengthBytes: data.length }
  const crcs = blockChecksums(data)
  const write = { op: Op.write, flags: Flag.fua, ...range, data, crcs }
  expect((await client.ask(write)).status).toBe(Status.ok)
  const trim = { op: Op.trim, offsetBytes: 2 * BLOCK_BYTES, lengthBytes: BLOCK_BYTES }
  expect((await client.ask(trim)).status).toBe(Status.ok)
  expect((await client.ask({ op: Op.flush })).status).toBe(Status.ok)
  await mesh.server.close()
  await store.close()

  const next = await open(directory)
  const again = harness({ store: next })
  expect((await (await again.connect(V, token(1))).hello(1)).status).toBe(Status.staleToken)
  const reader = await again.connect(V)
  const hello = await reader.hello(1)
  expect(hello.incarnation?.number).toBeGreaterThan(store.incarnation.number)
  const answer = await reader.ask({ op: Op.read, ...range })
  expect(answer.status).toBe(Status.ok)
  expect([0, 1, 2, 3].map(block => answer.data[block * BLOCK_BYTES])).toEqual([6, 0, 6, 6])
  await again.server.close()
  await next.close()
})
