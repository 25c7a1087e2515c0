/**
 * A store and a shard server of their own on a scratch disk, with one volume of one column, reached
 * by the function calls that the gateway of this node uses (connectLocal): a request takes the way of
 * a client's, but for the network and its encryption. The server is given a network on which nobody is.
 */
import { assert } from '../../protocols/assert.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { ChunkKey, NodeId, Token, VolumeSpec } from '../../protocols/ids.ts'
import { DEFAULT_STRIPE_UNIT_BYTES, MiB } from '../../protocols/limits.ts'
import type { ControlRequest } from '../../protocols/shard-control/messages.ts'
import { type Answer, Op, type Request, Status } from '../../protocols/shard-io/messages.ts'
import type { Clock, Disk, Log, Network, Random } from '../ports.ts'
import { createRpc } from '../rpc/rpc.ts'
import { createShardServer } from '../shard/server.ts'
import type { LocalConnection, ShardServer } from '../shard/types.ts'
import { openStore } from '../storage/store.ts'
import type { ChunkStore } from '../storage/types.ts'
import { newNonce, newVolumeId } from '../volumes/types.ts'

export interface ScratchShardParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly self: NodeId
  /** Whole extents. */
  readonly dataBytes: number
  readonly extentBytes: number
}

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (reason: Error) => void
}

/** The journal beside the data, and what a store asks for to take a new shard. */
const STORE_SPARE_BYTES = 64 * MiB
const NO_CRCS: Uint32Array = new Uint32Array(0)
const NO_DATA: Uint8Array = new Uint8Array(0)

export async function openScratchShard(parts: ScratchShardParts): Promise<ScratchShard> {
  const { dataBytes, extentBytes, clock, random, self } = parts
  assert(dataBytes % extentBytes === 0, 'the data is whole extents')
  const { warn, error } = parts.log
  const log: Log = { debug: () => {}, info: () => {}, warn, error }
  const capacityBytes = 2 * dataBytes + STORE_SPARE_BYTES
  const store = await openStore({ ...parts, log, capacityBytes })
  const network = emptyNetwork(self)
  const rpc = createRpc({ network, clock, log })
  const server = createShardServer({ store, network, rpc, clock, log, self })
  const shard = new ScratchShard(store, server, parts)
  try {
    await shard.begin(newNonce(random))
  } catch (error) {
    await shard.close()
    throw error
  }
  return shard
}

export class ScratchShard {
  readonly #store: ChunkStore
  readonly #server: ShardServer
  readonly #parts: ScratchShardParts
  readonly #spec: VolumeSpec
  readonly #waiting = new Map<number, Waiting>()
  #connection: LocalConnection | undefined
  #token: Token | undefined
  #requests = 0
  #closed: Error | undefined

  constructor(store: ChunkStore, server: ShardServer, parts: ScratchShardParts) {
    this.#store = store
    this.#server = server
    this.#parts = parts
    this.#spec = {
      id: newVolumeId(parts.random),
      extentBytes: parts.extentBytes,
      stripeUnitBytes: DEFAULT_STRIPE_UNIT_BYTES,
      columns: 1,
      copies: 1,
      generation: 0
    }
  }

  /** Creates the shard, takes it, and says hello. */
  async begin(attach: Token['attach']): Promise<void> {
    const { dataBytes, extentBytes, self } = this.#parts
    const spec = this.#spec
    const first = { counter: 1, attach }
    const run = { from: 0, to: dataBytes / extentBytes, generation: 0, column: 0, replica: 0 }
    const runs = [{ ...run, epoch: { token: first, counter: 0 } }]
    await this.#control({ call: 'create', token: first, spec, sizeBytes: dataBytes, runs })
    const token = { counter: 2, attach }
    const holder = { node: self, host: 'calibration', since: 0 }
    await this.#control({ call: 'open', volume: spec.id, token, holder })
    this.#token = token
    const connection = this.#server.connectLocal()
    connection.onAnswer(answer => this.#answered(answer))
    connection.onClose(reason => this.#end(reason))
    this.#connection = connection
    await this.#ask({ op: Op.hello, session: 1 })
  }

  async read(at: number, lengthBytes: number): Promise<void> {
    await this.#ask({ op: Op.read, ...this.#place(at), lengthBytes })
  }

  /** Neither may change afterwards. */
  async write(at: number, data: Uint8Array, crcs: Uint32Array): Promise<void> {
    await this.#ask({ op: Op.write, ...this.#place(at), lengthBytes: data.length, data, crcs })
  }

  async flush(): Promise<void> {
    await this.#ask({ op: Op.flush })
  }

  async close(): Promise<void> {
    this.#connection?.close()
    await this.#server.close()
    await this.#store.close()
  }

  async #control(request: ControlRequest): Promise<void> {
    const answer = await this.#server.control(request)
    if (answer.is === 'state') return
    const why = 'why' in answer ? answer.why : answer.is
    throw new ShoalError({ code: 'IO_ERROR' }, `the scratch shard did not ${request.call}: ${why}`)
  }

  /** Where a byte of the data is. */
  #place(at: number): { chunk: ChunkKey; offsetBytes: number } {
    const { extentBytes, dataBytes } = this.#parts
    assert(at < dataBytes, 'a request is inside the data')
    return { chunk: this.#chunk(Math.floor(at / extentBytes)), offsetBytes: at % extentBytes }
  }

  #chunk(extent: number): ChunkKey {
    return { volume: this.#spec.id, extent, generation: 0, column: 0, replica: 0 }
  }

  async #ask(fields: Pick<Request, 'op'> & Partial<Request>): Promise<void> {
    for (;;) {
      const { status, retryAfterMs } = await this.#once(fields)
      if (status === Status.ok) return
      if (status !== Status.busy) {
        throw new ShoalError({ code: 'IO_ERROR' }, `a request was answered with status ${status}`)
      }
      await new Promise<void>(resolve => this.#parts.clock.after(retryAfterMs, resolve))
    }
  }

  #once(fields: Pick<Request, 'op'> & Partial<Request>): Promise<Answer> {
    const token = this.#token
    const connection = this.#connection
    assert(token !== undefined && connection !== undefined, 'requests follow the hello')
    const epoch = { token: { counter: 1, attach: token.attach }, counter: 0 }
    const requestId = this.#requests++ >>> 0
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) return reject(this.#closed)
      this.#waiting.set(requestId, { resolve, reject })
      connection.send({
        flags: 0,
        requestId,
        token,
        chunk: this.#chunk(0),
        epoch,
        offsetBytes: 0,
        lengthBytes: 0,
        crcs: NO_CRCS,
        data: NO_DATA,
        session: 0,
        ...fields
      })
    })
  }

  #answered(answer: Answer): void {
    this.#waiting.get(answer.requestId)?.resolve(answer)
    this.#waiting.delete(answer.requestId)
  }

  #end(reason: Error = new ShoalError({ code: 'CLOSED' }, 'the scratch shard was closed')): void {
    this.#closed = reason
    for (const { reject } of this.#waiting.values()) reject(reason)
    this.#waiting.clear()
  }
}

function emptyNetwork(self: NodeId): Network {
  const nobody = (peer: NodeId) =>
    Promise.reject(new ShoalError({ code: 'UNREACHABLE', peer }, 'there is nobody'))
  return {
    self,
    open: nobody,
    handle: () => {},
    publish: async () => {},
    subscribe: () => () => {},
    peers: () => [],
    onPeer: () => {},
    roundTripMs: () => undefined
  }
}
