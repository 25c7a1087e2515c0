/**
 * A shard server on a memory mesh, and a client that speaks shard-io to it by hand: what the tests
 * of the shard server share.
 */
import { systemClock } from '../../node/clock.ts'
import type { ByteStream, Clock, Log } from '../../node/ports.ts'
import { createRpc, type RpcNode } from '../../node/rpc/rpc.ts'
import { createShardServer } from '../../node/shard/server.ts'
import type { LocalConnection, ShardServer } from '../../node/shard/types.ts'
import type { ChunkStore } from '../../node/storage/types.ts'
import { FrameReader } from '../../node/stream/frames.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type {
  NodeId,
  Nonce,
  PlacementEpoch,
  Run,
  Token,
  VolumeId,
  VolumeSpec
} from '../../protocols/ids.ts'
import { KiB, MAX_SHARD_IO_FRAME_BYTES, MiB } from '../../protocols/limits.ts'
import {
  type ControlAnswer,
  type ControlRequest,
  controlAnswerSchema,
  type Holder,
  SHARD_CONTROL_PROTOCOL,
  type ShardState
} from '../../protocols/shard-control/messages.ts'
import {
  type Answer,
  decodeAnswer,
  encodeRequest,
  Op,
  type Request,
  SHARD_IO_PROTOCOL
} from '../../protocols/shard-io/messages.ts'
import { type MemoryMember, MemoryMesh } from './memory-network.ts'
import { MemoryChunkStore } from './shard-memory-store.ts'

export const SHARD_NODE = '12D3KooWShard11111111111111111111111111111111111111' as NodeId
export const GATEWAY = '12D3KooWGateway1111111111111111111111111111111111111' as NodeId

export const quietLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {}
}

export function volumeId(number: number): VolumeId {
  return number.toString(16).padStart(32, '0') as VolumeId
}

export function token(counter: number, attach = 1): Token {
  return { counter, attach: attach.toString(16).padStart(16, '0') as Nonce }
}

export const FIRST_TOKEN = token(1)
export const FIRST_EPOCH: PlacementEpoch = { token: FIRST_TOKEN, counter: 1 }

export function spec(id: VolumeId, columns = 2): VolumeSpec {
  const sizes = { extentBytes: MiB, stripeUnitBytes: 64 * KiB }
  return { id, ...sizes, columns, copies: 1, generation: 1 }
}

export function run(from: number, to: number, column = 0, epoch = FIRST_EPOCH): Run {
  return { from, to, generation: 1, column, replica: 0, epoch }
}

export function holder(since = 1): Holder {
  return { node: GATEWAY, host: 'vm-host', since }
}

/** Four extents of column 0 on this node. */
export function createCall(id: VolumeId): ControlRequest & { call: 'create' } {
  return {
    call: 'create',
    token: FIRST_TOKEN,
    spec: spec(id),
    sizeBytes: 4 * MiB,
    runs: [run(0, 4)]
  }
}

export function request(fields: Partial<Request> & { volume: VolumeId }): Request {
  const { volume, ...rest } = fields
  return {
    op: Op.read,
    flags: 0,
    requestId: 1,
    token: token(2),
    chunk: { volume, extent: 0, generation: 1, column: 0, replica: 0 },
    epoch: FIRST_EPOCH,
    offsetBytes: 0,
    lengthBytes: fields.data?.length ?? 0,
    crcs: fields.data === undefined ? new Uint32Array(0) : blockChecksums(fields.data),
    data: new Uint8Array(0),
    session: 0,
    ...rest
  }
}

/** A shard-io stream of the gateway, each request a promise. */
export class IoClient {
  readonly stream: Pick<ByteStream, 'abort'> & { send: (request: Request) => void }
  readonly closed: Promise<Error | undefined>
  readonly answers: Answer[] = []
  readonly token: Token
  readonly volume: VolumeId
  #nextId = 1
  readonly #waiting = new Map<number, (answer: Answer) => void>()

  constructor(wire: ByteStream | LocalConnection, volume: VolumeId, under: Token) {
    this.volume = volume
    this.token = under
    this.closed = new Promise(resolve => wire.onClose(resolve))
    if ('send' in wire) {
      wire.onAnswer(answer => this.#answered(answer))
      this.stream = { send: asked => wire.send(asked), abort: () => wire.close() }
      return
    }
    const reader = new FrameReader({
      maxBytes: MAX_SHARD_IO_FRAME_BYTES,
      onFrame: frame => {
        const answer = decodeAnswer(frame)
        if (typeof answer === 'string') throw new Error(answer)
        this.#answered(answer)
      },
      onBad: reason => wire.abort(new Error(reason))
    })
    wire.onBytes(bytes => reader.push(bytes))
    this.stream = {
      send: asked => {
        for (const part of encodeRequest(asked)) wire.write(part)
      },
      abort: reason => wire.abort(reason)
    }
  }

  ask(fields: Partial<Request>): Promise<Answer> {
    const requestId = this.#nextId
    this.#nextId += 1
    const answered = new Promise<Answer>(resolve => this.#waiting.set(requestId, resolve))
    this.stream.send(request({ volume: this.volume, token: this.token, ...fields, requestId }))
    return answered
  }

  hello(session: number): Promise<Answer> {
    return this.ask({ op: Op.hello, session })
  }

  #answered(answer: Answer): void {
    this.answers.push(answer)
    const resolve = this.#waiting.get(answer.requestId)
    this.#waiting.delete(answer.requestId)
    resolve?.(answer)
  }
}

export interface Harness {
  readonly store: MemoryChunkStore
  readonly server: ShardServer
  readonly mesh: MemoryMesh
  readonly gateway: MemoryMember
  readonly rpc: RpcNode
  readonly call: (request: ControlRequest) => Promise<ControlAnswer>
  /** Creates the volume's shard and opens it under `under`. */
  readonly attach: (id: VolumeId, under?: Token) => Promise<ShardState>
  readonly connect: (id: VolumeId, under?: Token) => Promise<IoClient>
  readonly connectLocal: (id: VolumeId, under?: Token) => IoClient
  readonly open: () => Promise<ByteStream>
}

export function harness<Store extends ChunkStore = MemoryChunkStore>(
  options: { store?: Store; clock?: Clock; holderTimeoutMs?: number; monitor?: boolean } = {}
): Harness & { store: Store } {
  const store = (options.store ?? new MemoryChunkStore()) as Store & MemoryChunkStore
  const clock = options.clock ?? systemClock
  const mesh = new MemoryMesh()
  const network = mesh.join(SHARD_NODE)
  const gateway = mesh.join(GATEWAY)
  const rpc = createRpc({ network, clock, log: quietLog })
  const caller = createRpc({ network: gateway, clock, log: quietLog })
  const server = createShardServer({
    store,
    network,
    rpc,
    clock,
    log: quietLog,
    self: SHARD_NODE,
    holderTimeoutMs: options.holderTimeoutMs,
    ...(options.monitor === undefined ? {} : { monitor: options.monitor })
  })
  const call = (asked: ControlRequest) =>
    caller.call(SHARD_NODE, SHARD_CONTROL_PROTOCOL, asked, controlAnswerSchema)
  const open = () => gateway.open(SHARD_NODE, SHARD_IO_PROTOCOL)
  return {
    store,
    server,
    mesh,
    gateway,
    rpc,
    call,
    open,
    attach: async (id, under = token(2)) => {
      await call(createCall(id))
      const answer = await call({ call: 'open', volume: id, token: under, holder: holder() })
      if (answer.is !== 'state') throw new Error(`open was answered ${answer.is}`)
      return answer.state
    },
    connect: async (id, under = token(2)) => new IoClient(await open(), id, under),
    connectLocal: (id, under = token(2)) => new IoClient(server.connectLocal(), id, under)
  }
}

/** A clock that stands until it is moved. */
export class HandClock implements Clock {
  nowMs = 1000

  now(): number {
    return this.nowMs
  }

  monotonicMs(): number {
    return this.nowMs
  }

  after(): { cancel: () => void } {
    return { cancel: () => {} }
  }

  soon(task: () => void): void {
    setImmediate(task)
  }
}

/** Waits for a state of the world, a tick at a time. */
export async function until(condition: () => boolean): Promise<void> {
  for (let tick = 0; !condition(); tick++) {
    if (tick > 10_000) throw new Error('the awaited state never came')
    await new Promise(resolve => setImmediate(resolve))
  }
}
