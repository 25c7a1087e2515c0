/**
 * shard-io: reads and changes of one volume's chunks on one node, many in flight on one stream.
 * All integers little endian; the whole exchange is in PROTOCOL.md beside this file.
 *
 *   request   0 frame bytes u32 | 4 op u8 | 5 flags u8 | 6 replica u8 | 7 zero u8
 *             8 request id u32 | 12 extent u32 | 16 generation u16 | 18 column u16
 *            20 offset u32 | 24 length u32 | 28 epoch counter u32
 *            32 token counter u64 | 40 token attach 8
 *            48 epoch token counter u64 | 56 epoch token attach 8 | 64 volume 16
 *            80 payload: write: a CRC32C u32 per block, then the data; hello: session u64
 *   answer    0 frame bytes u32 | 4 status u8 | 5 op u8 | 6 zero u16 | 8 request id u32
 *            12 length u32 | 16 retry after ms u32 | 20 zero u32 | 24 token counter u64
 *            32 payload: by op and status; moved: epoch counter u32, epoch token counter u64,
 *               epoch token attach 8, then the node's id in UTF-8
 *
 * Invariants: offset and length are whole 4 KiB blocks; a write carries exactly one checksum per
 * block; decode is total: any bytes give a message or a refusal, never an exception.
 */
import { assert } from '../assert.ts'
import type {
  ChunkKey,
  Incarnation,
  NodeId,
  Nonce,
  PlacementEpoch,
  Token,
  VolumeId
} from '../ids.ts'
import { isNodeId } from '../ids.ts'
import { BLOCK_BYTES, MAX_COUNTER, MAX_IO_BYTES, MAX_SHARD_IO_FRAME_BYTES } from '../limits.ts'

export const SHARD_IO_PROTOCOL = '/shoal/shard-io/2'

export const REQUEST_HEADER_BYTES = 80
export const ANSWER_HEADER_BYTES = 32
/** Of a moved answer: the epoch before the node's id. */
const MOVED_EPOCH_BYTES = 20

export const Op = { hello: 1, read: 2, write: 3, trim: 4, zero: 5, flush: 6, map: 7 } as const
export type Op = (typeof Op)[keyof typeof Op]

export const Flag = {
  /** The change is durable against loss of power before it is answered. */
  fua: 1,
  /** zero: keep the blocks allocated (NBD's NO_HOLE). */
  allocate: 2
} as const

/** The closed status set of design.md section 3. */
export const Status = {
  ok: 0,
  moved: 1,
  staleToken: 2,
  noChunk: 3,
  badChecksum: 4,
  noSpace: 5,
  busy: 6,
  ioError: 7
} as const
export type Status = (typeof Status)[keyof typeof Status]

export interface Request {
  readonly op: Op
  readonly flags: number
  readonly requestId: number
  readonly token: Token
  readonly chunk: ChunkKey
  readonly epoch: PlacementEpoch
  readonly offsetBytes: number
  readonly lengthBytes: number
  /** write: one per block. Empty otherwise. */
  readonly crcs: Uint32Array
  /** write: lengthBytes bytes. Empty otherwise. A view of the received frame. */
  readonly data: Uint8Array
  /** hello: number of this stream within its token, growing with every reconnect. Else 0. */
  readonly session: number
}

/** Who holds the chunk instead, and since which epoch. */
export interface MovedTo {
  readonly node: NodeId
  readonly epoch: PlacementEpoch
}

export interface Answer {
  readonly status: Status
  readonly op: Op
  readonly requestId: number
  readonly lengthBytes: number
  /** busy: when to ask again. Else 0. */
  readonly retryAfterMs: number
  /** staleToken: counter of the greatest token that the shard knows. Else 0. */
  readonly tokenCounter: number
  /** read/ok: one per block. Empty otherwise. */
  readonly crcs: Uint32Array
  /** read/ok: lengthBytes of data. Empty otherwise. */
  readonly data: Uint8Array
  /** map/ok: lengths in blocks, alternating data, hole, data ... beginning with data (may be 0). */
  readonly runs: Uint32Array
  /** hello/ok: the start of the store that answers on this stream. */
  readonly incarnation: Incarnation | undefined
  /** moved: always. Else undefined. */
  readonly movedTo: MovedTo | undefined
}

const NO_CRCS: Uint32Array = new Uint32Array(0)
const NO_DATA: Uint8Array = new Uint8Array(0)
const OPS: ReadonlySet<number> = new Set(Object.values(Op))
const STATUSES: ReadonlySet<number> = new Set(Object.values(Status))

/** The parts of the frame, to be written in order; `data` is passed on by reference. */
export function encodeRequest(request: Request): Uint8Array[] {
  const { crcs, data } = request
  assert(request.op !== Op.write || data.length === request.lengthBytes, 'a write carries its data')
  assert(crcs.length * BLOCK_BYTES === data.length, 'one checksum per block of data')
  assert(request.lengthBytes <= MAX_IO_BYTES, 'a request fits its bound')
  const tailBytes = request.op === Op.hello ? 8 : crcs.length * 4
  const head = Buffer.allocUnsafe(REQUEST_HEADER_BYTES + tailBytes)
  head.writeUInt32LE(head.length + data.length, 0)
  head[4] = request.op
  head[5] = request.flags
  head[6] = request.chunk.replica
  head[7] = 0
  head.writeUInt32LE(request.requestId, 8)
  head.writeUInt32LE(request.chunk.extent, 12)
  head.writeUInt16LE(request.chunk.generation, 16)
  head.writeUInt16LE(request.chunk.column, 18)
  head.writeUInt32LE(request.offsetBytes, 20)
  head.writeUInt32LE(request.lengthBytes, 24)
  head.writeUInt32LE(request.epoch.counter, 28)
  writeToken(head, 32, request.token)
  writeToken(head, 48, request.epoch.token)
  head.write(request.chunk.volume, 64, 'hex')
  if (request.op === Op.hello) writeCounter(head, REQUEST_HEADER_BYTES, request.session)
  else writeCrcs(head, REQUEST_HEADER_BYTES, crcs)
  return data.length === 0 ? [head] : [head, data]
}

/** A request, or the reason why these bytes (one whole frame) are none. */
export function decodeRequest(frame: Uint8Array): Request | string {
  const view = asBuffer(frame)
  if (view.length < REQUEST_HEADER_BYTES) return 'request shorter than its header'
  if (view.length > MAX_SHARD_IO_FRAME_BYTES) return 'request frame too long'
  if (view.readUInt32LE(0) !== view.length) return 'request length field contradicts the frame'
  const op = view.readUInt8(4)
  if (!OPS.has(op)) return 'unknown operation'
  const flags = view.readUInt8(5)
  if ((flags & ~(Flag.fua | Flag.allocate)) !== 0 || view.readUInt8(7) !== 0) return 'unknown flags'
  const offsetBytes = view.readUInt32LE(20)
  const lengthBytes = view.readUInt32LE(24)
  if (offsetBytes % BLOCK_BYTES !== 0 || lengthBytes % BLOCK_BYTES !== 0) return 'not whole blocks'
  const token = readToken(view, 32)
  const epochToken = readToken(view, 48)
  if (token === undefined || epochToken === undefined) return 'counter out of range'
  let crcs = NO_CRCS
  let data = NO_DATA
  let session = 0
  const tailBytes = view.length - REQUEST_HEADER_BYTES
  if (op === Op.write) {
    if (lengthBytes > MAX_IO_BYTES) return 'write too long'
    const blocks = lengthBytes / BLOCK_BYTES
    if (tailBytes !== blocks * 4 + lengthBytes) return 'write payload contradicts its length'
    crcs = readCrcs(view, REQUEST_HEADER_BYTES, blocks)
    data = view.subarray(REQUEST_HEADER_BYTES + blocks * 4)
  } else if (op === Op.hello) {
    if (tailBytes !== 8) return 'hello payload must be 8 bytes'
    const counter = readCounter(view, REQUEST_HEADER_BYTES)
    if (counter === undefined) return 'counter out of range'
    session = counter
  } else if (tailBytes !== 0) return 'unexpected payload'
  if (op === Op.read && lengthBytes > MAX_IO_BYTES) return 'read too long'
  return {
    op: op as Op,
    flags,
    requestId: view.readUInt32LE(8),
    token,
    chunk: {
      volume: view.toString('hex', 64, 80) as VolumeId,
      extent: view.readUInt32LE(12),
      generation: view.readUInt16LE(16),
      column: view.readUInt16LE(18),
      replica: view.readUInt8(6)
    },
    epoch: { token: epochToken, counter: view.readUInt32LE(28) },
    offsetBytes,
    lengthBytes,
    crcs,
    data,
    session
  }
}

/** The parts of the frame; `data` is passed on by reference. */
export function encodeAnswer(answer: Answer): Uint8Array[] {
  const { crcs, data, runs, incarnation, movedTo } = answer
  const isRead = answer.op === Op.read && answer.status === Status.ok
  assert(!isRead || crcs.length * BLOCK_BYTES === data.length, 'one checksum per block of data')
  const words = isRead ? crcs : runs
  assert((movedTo !== undefined) === (answer.status === Status.moved), 'moved says where to')
  const movedBytes = movedTo === undefined ? 0 : MOVED_EPOCH_BYTES + movedTo.node.length
  const tailBytes = words.length * 4 + (incarnation === undefined ? 0 : 16) + movedBytes
  const head = Buffer.allocUnsafe(ANSWER_HEADER_BYTES + tailBytes)
  head.writeUInt32LE(head.length + data.length, 0)
  head[4] = answer.status
  head[5] = answer.op
  head.writeUInt16LE(0, 6)
  head.writeUInt32LE(answer.requestId, 8)
  head.writeUInt32LE(answer.lengthBytes, 12)
  head.writeUInt32LE(answer.retryAfterMs, 16)
  head.writeUInt32LE(0, 20)
  writeCounter(head, 24, answer.tokenCounter)
  writeCrcs(head, ANSWER_HEADER_BYTES, words)
  if (incarnation !== undefined) {
    assert(words.length === 0, 'only hello names the incarnation')
    writeToken(head, ANSWER_HEADER_BYTES, {
      counter: incarnation.number,
      attach: incarnation.nonce
    })
  }
  if (movedTo !== undefined) {
    assert(tailBytes === movedBytes, 'a moved answer carries nothing else')
    head.writeUInt32LE(movedTo.epoch.counter, ANSWER_HEADER_BYTES)
    writeToken(head, ANSWER_HEADER_BYTES + 4, movedTo.epoch.token)
    head.write(movedTo.node, ANSWER_HEADER_BYTES + MOVED_EPOCH_BYTES)
  }
  return data.length === 0 ? [head] : [head, data]
}

/** An answer, or the reason why these bytes (one whole frame) are none. */
export function decodeAnswer(frame: Uint8Array): Answer | string {
  const view = asBuffer(frame)
  if (view.length < ANSWER_HEADER_BYTES) return 'answer shorter than its header'
  if (view.length > MAX_SHARD_IO_FRAME_BYTES) return 'answer frame too long'
  if (view.readUInt32LE(0) !== view.length) return 'answer length field contradicts the frame'
  const status = view.readUInt8(4)
  const op = view.readUInt8(5)
  if (!STATUSES.has(status)) return 'unknown status'
  if (!OPS.has(op)) return 'unknown operation'
  const tokenCounter = readCounter(view, 24)
  if (tokenCounter === undefined) return 'counter out of range'
  const tail = decodeAnswerTail(view, op as Op, status as Status)
  if (typeof tail === 'string') return tail
  return {
    status: status as Status,
    op: op as Op,
    requestId: view.readUInt32LE(8),
    lengthBytes: view.readUInt32LE(12),
    retryAfterMs: view.readUInt32LE(16),
    tokenCounter,
    ...tail
  }
}

type AnswerTail = Pick<Answer, 'crcs' | 'data' | 'runs' | 'incarnation' | 'movedTo'>

const NO_TAIL: AnswerTail = {
  crcs: NO_CRCS,
  data: NO_DATA,
  runs: NO_CRCS,
  incarnation: undefined,
  movedTo: undefined
}

function decodeAnswerTail(view: Buffer, op: Op, status: Status): AnswerTail | string {
  const tailBytes = view.length - ANSWER_HEADER_BYTES
  if (status === Status.moved) {
    const movedTo = readMovedTo(view.subarray(ANSWER_HEADER_BYTES))
    return typeof movedTo === 'string' ? movedTo : { ...NO_TAIL, movedTo }
  }
  if (status === Status.ok && op === Op.read) {
    const lengthBytes = view.readUInt32LE(12)
    const blocks = lengthBytes / BLOCK_BYTES
    if (!Number.isInteger(blocks)) return 'not whole blocks'
    if (tailBytes !== blocks * 4 + lengthBytes) return 'read payload contradicts its length'
    return {
      ...NO_TAIL,
      crcs: readCrcs(view, ANSWER_HEADER_BYTES, blocks),
      data: view.subarray(ANSWER_HEADER_BYTES + blocks * 4)
    }
  }
  if (status === Status.ok && op === Op.map) {
    if (tailBytes % 4 !== 0) return 'runs must be whole words'
    return { ...NO_TAIL, runs: readCrcs(view, ANSWER_HEADER_BYTES, tailBytes / 4) }
  }
  if (status === Status.ok && op === Op.hello) {
    if (tailBytes !== 16) return 'hello answer must name the incarnation'
    const pair = readToken(view, ANSWER_HEADER_BYTES)
    if (pair === undefined) return 'counter out of range'
    return { ...NO_TAIL, incarnation: { number: pair.counter, nonce: pair.attach } }
  }
  return tailBytes === 0 ? NO_TAIL : 'unexpected payload'
}

function readMovedTo(tail: Buffer): MovedTo | string {
  if (tail.length < MOVED_EPOCH_BYTES) return 'moved answer shorter than its epoch'
  const token = readToken(tail, 4)
  if (token === undefined) return 'counter out of range'
  const node = tail.toString('utf8', MOVED_EPOCH_BYTES)
  if (!isNodeId(node)) return 'moved answer names no node'
  return { node, epoch: { token, counter: tail.readUInt32LE(0) } }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function writeCounter(target: Buffer, at: number, counter: number): void {
  assert(counter >= 0 && counter <= MAX_COUNTER, 'counters are non-negative and bounded')
  target.writeUInt32LE(counter % 0x1_0000_0000, at)
  target.writeUInt32LE(Math.floor(counter / 0x1_0000_0000), at + 4)
}

function readCounter(source: Buffer, at: number): number | undefined {
  const value = source.readUInt32LE(at) + source.readUInt32LE(at + 4) * 0x1_0000_0000
  return value <= MAX_COUNTER ? value : undefined
}

function writeToken(target: Buffer, at: number, token: Token): void {
  writeCounter(target, at, token.counter)
  target.write(token.attach, at + 8, 'hex')
}

function readToken(source: Buffer, at: number): Token | undefined {
  const counter = readCounter(source, at)
  if (counter === undefined) return undefined
  return { counter, attach: source.toString('hex', at + 8, at + 16) as Nonce }
}

function writeCrcs(target: Buffer, at: number, crcs: Uint32Array): void {
  for (let i = 0; i < crcs.length; i++) target.writeUInt32LE(crcs[i] ?? 0, at + i * 4)
}

function readCrcs(source: Buffer, at: number, count: number): Uint32Array {
  const crcs = new Uint32Array(count)
  for (let i = 0; i < count; i++) crcs[i] = source.readUInt32LE(at + i * 4)
  return crcs
}
