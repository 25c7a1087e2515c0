/**
 * The load of the monitor's bench: a shard on a real store, requests that are made beforehand, and a
 * client that keeps them in flight and does next to nothing itself.
 */
import { systemClock } from '../../node/clock.ts'
import { createRpc } from '../../node/rpc/rpc.ts'
import { createShardServer } from '../../node/shard/server.ts'
import type { LocalConnection, ShardServer } from '../../node/shard/types.ts'
import type { ChunkStore } from '../../node/storage/types.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { BLOCK_BYTES, MiB } from '../../protocols/limits.ts'
import { Op, type Request, Status } from '../../protocols/shard-io/messages.ts'
import { MemoryMesh } from '../support/memory-network.ts'
import { SeededRandom } from '../support/process-random.ts'
import {
  createCall,
  FIRST_EPOCH,
  FIRST_TOKEN,
  quietLog,
  request,
  run,
  SHARD_NODE,
  spec,
  volumeId
} from '../support/shard-harness.ts'

export const EXTENT_BYTES = 16 * MiB
const EXTENTS = 16
const IN_FLIGHT = 32
const READ_PART = 0.7
/** They are sent again in the same order when all have been sent. */
const POOL = 65_536
const VOLUME = volumeId(1)

export function serve(store: ChunkStore, monitor: boolean): ShardServer {
  const network = new MemoryMesh().join(SHARD_NODE)
  const rpc = createRpc({ network, clock: systemClock, log: quietLog })
  const parts = { network, rpc, clock: systemClock, log: quietLog, self: SHARD_NODE }
  return createShardServer({ store, ...parts, monitor })
}

/** The other server, made later, finds the shard in the store. */
export async function fill(store: ChunkStore, server: ShardServer): Promise<void> {
  const sizeBytes = EXTENTS * EXTENT_BYTES
  const created = await server.control({
    ...createCall(VOLUME),
    spec: { ...spec(VOLUME, 1), extentBytes: EXTENT_BYTES },
    sizeBytes,
    runs: [run(0, EXTENTS)]
  })
  if (created.is === 'failed') throw new Error(created.why)
  const data = new SeededRandom(1).bytes(MiB)
  const crcs = blockChecksums(data)
  for (let extent = 0; extent < EXTENTS; extent++) {
    const chunk = { volume: VOLUME, extent, generation: 1, column: 0, replica: 0 }
    for (let at = 0; at < EXTENT_BYTES; at += MiB) await store.write(chunk, at, data, crcs)
  }
  await store.flush()
}

export function makeRequests(random: SeededRandom): Request[] {
  const payloads = Array.from({ length: 16 }, () => random.bytes(BLOCK_BYTES))
  return Array.from({ length: POOL }, (_, requestId) => {
    const isRead = random.fraction() < READ_PART
    const data = payloads[random.below(payloads.length)]
    const extent = random.below(EXTENTS)
    return request({
      volume: VOLUME,
      op: isRead ? Op.read : Op.write,
      requestId,
      token: FIRST_TOKEN,
      epoch: FIRST_EPOCH,
      chunk: { volume: VOLUME, extent, generation: 1, column: 0, replica: 0 },
      offsetBytes: random.below(EXTENT_BYTES / BLOCK_BYTES) * BLOCK_BYTES,
      lengthBytes: BLOCK_BYTES,
      ...(isRead || data === undefined ? {} : { data, crcs: blockChecksums(data) })
    })
  })
}

/** Keeps so many requests in flight, and does next to nothing itself. */
export class Client {
  readonly #connection: LocalConnection
  readonly #requests: readonly Request[]
  #next = 0
  #unsent = 0
  #unanswered = 0
  #done: (() => void) | undefined
  #failure: Error | undefined

  constructor(connection: LocalConnection, requests: readonly Request[]) {
    this.#connection = connection
    this.#requests = requests
    connection.onAnswer(answer => {
      if (answer.status !== Status.ok) this.#failure ??= new Error(`status ${answer.status}`)
      this.#unanswered -= 1
      if (this.#unsent > 0) this.#send()
      if (this.#unanswered === 0) this.#done?.()
    })
  }

  static async connect(server: ShardServer, requests: readonly Request[]): Promise<Client> {
    const client = new Client(server.connectLocal(), requests)
    const hello = { op: Op.hello, session: 1, token: FIRST_TOKEN, lengthBytes: 0 }
    await client.#await(1, () => client.#connection.send(request({ volume: VOLUME, ...hello })))
    return client
  }

  run(count: number): Promise<void> {
    return this.#await(count, () => {
      this.#unsent = count
      for (let i = 0; i < IN_FLIGHT; i++) this.#send()
    })
  }

  async #await(count: number, start: () => void): Promise<void> {
    this.#unanswered = count
    await new Promise<void>(resolve => {
      this.#done = resolve
      start()
    })
    if (this.#failure !== undefined) throw this.#failure
  }

  #send(): void {
    const next = this.#requests[this.#next]
    if (next === undefined) throw new Error('the pool of requests is empty')
    this.#next = (this.#next + 1) % this.#requests.length
    this.#unsent -= 1
    this.#connection.send(next)
  }
}
