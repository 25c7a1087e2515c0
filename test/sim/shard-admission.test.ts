// Goal: on a live server, over streams and function calls, no change of an older token or session
// reaches the store after a newer hello or open was answered, whatever is slow and whatever breaks.
// Method: writers come and go under rising tokens and sessions while the store settles in random
// bursts; each write carries who sent it, and the store notes who reaches it when.
import { describe, expect, it } from 'vitest'
import { blockChecksums } from '../../protocols/checksum.ts'
import { type ChunkKey, compareTokens, type Token } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { Op, Status } from '../../protocols/shard-io/messages.ts'
import { seededRandom } from '../support/gateway-mesh.ts'
import {
  createCall,
  harness,
  holder,
  type IoClient,
  token,
  until,
  volumeId
} from '../support/shard-harness.ts'
import { MemoryChunkStore } from '../support/shard-memory-store.ts'

const V = volumeId(1)
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const STEPS = 400

interface Rank {
  readonly token: Token
  readonly session: number
}

function compareRanks(a: Rank, b: Rank): number {
  return compareTokens(a.token, b.token) || a.session - b.session
}

/** Looks into each write that reaches it: bytes 0..7 name the token's counter and the session. */
class WatchedStore extends MemoryChunkStore {
  floor: Rank = { token: token(0), session: 0 }
  readonly tooLate: Rank[] = []
  writes = 0

  override write(chunk: ChunkKey, offset: number, data: Uint8Array, crcs: Uint32Array) {
    const view = Buffer.from(data.buffer, data.byteOffset, data.length)
    const rank = { token: token(view.readUInt32LE(0)), session: view.readUInt32LE(4) }
    if (compareRanks(rank, this.floor) < 0) this.tooLate.push(rank)
    this.writes += 1
    return super.write(chunk, offset, data, crcs)
  }

  answered(rank: Rank): void {
    if (compareRanks(rank, this.floor) > 0) this.floor = rank
  }
}

class Writer {
  readonly rank: Rank
  readonly client: IoClient
  isWelcome = false
  isClosed = false

  constructor(client: IoClient, rank: Rank, store: WatchedStore) {
    this.client = client
    this.rank = rank
    void client.closed.then(() => {
      this.isClosed = true
    })
    void client.hello(rank.session).then(answer => {
      if (answer.status !== Status.ok) return
      this.isWelcome = true
      store.answered(rank)
    })
  }

  write(block: number): void {
    const data = Buffer.alloc(BLOCK_BYTES)
    data.writeUInt32LE(this.rank.token.counter, 0)
    data.writeUInt32LE(this.rank.session, 4)
    const fields = { lengthBytes: data.length, data, crcs: blockChecksums(data) }
    void this.client.ask({ op: Op.write, offsetBytes: block * BLOCK_BYTES, ...fields })
  }
}

async function run(seed: number): Promise<WatchedStore> {
  const random = seededRandom(seed)
  const pick = (below: number): number => Math.floor(random.fraction() * below)
  const store = new WatchedStore()
  const mesh = harness({ store })
  await mesh.call(createCall(V))
  let granted = 1
  let session = 0
  let opens = 0
  const writers: Writer[] = []
  const any = (): Writer | undefined => writers[Math.max(0, writers.length - 1 - pick(4))]
  const open = (counter: number): void => {
    opens += 1
    const call = { call: 'open', volume: V, token: token(counter), holder: holder() } as const
    void mesh.server.control(call).then(answer => {
      opens -= 1
      if (answer.is === 'state') store.answered({ token: token(counter), session: 0 })
    })
  }
  store.hold()
  for (let step = 0; step < STEPS; step++) {
    const choice = pick(20)
    if (choice === 0) open(++granted)
    else if (choice === 1) open(granted)
    else if (choice < 5) {
      const under = token(Math.max(1, granted - (pick(5) === 0 ? 1 : 0)))
      const rank = { token: under, session: Math.max(1, ++session - pick(3)) }
      const isLocal = pick(2) === 0
      const client = isLocal ? mesh.connectLocal(V, under) : await mesh.connect(V, under)
      writers.push(new Writer(client, rank, store))
    } else if (choice === 5) any()?.client.stream.abort(new Error('connection lost'))
    else if (choice < 14) {
      const writer = any()
      for (let burst = pick(20); burst > 0; burst--) writer?.write(pick(64))
    } else if (choice < 18) store.release(pick(40))
    else await new Promise(resolve => setImmediate(resolve))
  }
  store.release()
  await until(() => opens === 0 && mesh.server.stats().inFlightRequests === 0)
  const last = new Writer(
    mesh.connectLocal(V, token(granted)),
    {
      token: token(granted),
      session: session + 1
    },
    store
  )
  await until(() => last.isWelcome || last.isClosed)
  expect(last.isWelcome).toBe(true)
  await mesh.server.close()
  return store
}

describe(`admission on a live server (SEED=${SEED})`, () => {
  it('lets nothing old reach the store after a newer answer, and blocks nobody for ever', async () => {
    let writes = 0
    for (let round = 0; round < 25; round++) {
      const store = await run(SEED + round)
      expect(store.tooLate).toEqual([])
      writes += store.writes
    }
    expect(writes).toBeGreaterThan(2000)
  })
})
