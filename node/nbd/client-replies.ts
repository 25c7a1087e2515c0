/**
 * What our client makes of a server's replies. Total: any bytes complete a request, fail it, or are
 * reported as a violation, after which nothing more is looked at.
 *
 *   head (16) --simple--> [data of a read] --> done
 *        \---chunk--> length (4) --> [offset (8) + data | body] --> next chunk or done
 */
import { ShoalError } from '../../protocols/fault.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import {
  CHUNK_LENGTH_BYTES,
  DESCRIPTOR_BYTES,
  decodeError,
  decodeReplyHead,
  decodeStatus,
  OFFSET_BYTES,
  type ReplyHead,
  readOffset,
  SIMPLE_REPLY_BYTES
} from '../../protocols/nbd/transmission.ts'
import type { DeviceExtent } from '../block-device.ts'
import { NBD_CLIENT_DESCRIPTORS } from '../limits.ts'
import { faultOfNbdError } from './errors.ts'
import type { Intake, IntakeHandler } from './intake.ts'

export interface Pending {
  readonly cookie: number
  readonly command: number
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly deadlineMs: number
  readonly doing: string
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  /** Of a read: filled as its data arrives. */
  readonly data: Buffer | undefined
  extents: DeviceExtent[]
  receivedBytes: number
  failure: ShoalError | undefined
}

interface Chunk {
  readonly pending: Pending
  readonly type: number
  readonly done: boolean
  lengthBytes: number
}

export interface RepliesParts {
  readonly intake: Intake
  readonly structured: boolean
  readonly allocation: number | undefined
  /** The request that was sent with this cookie. */
  readonly pending: (cookieHigh: number, cookieLow: number) => Pending | undefined
  readonly finish: (pending: Pending, failure: Error | undefined) => void
  readonly violation: (error: ShoalError) => void
}

export class Replies implements IntakeHandler {
  readonly #parts: RepliesParts
  #at: 'head' | 'length' | 'offset' | 'body' | 'data' = 'head'
  #chunk: Chunk | undefined

  constructor(parts: RepliesParts) {
    this.#parts = parts
  }

  onHeader(bytes: Buffer, at: number): boolean {
    switch (this.#at) {
      case 'length':
        this.#onLength(bytes.readUInt32BE(at))
        break
      case 'offset':
        this.#onOffset(readOffset(bytes, at))
        break
      default:
        this.#onHead(decodeReplyHead(bytes, at))
    }
    return true
  }

  onPayload(body: Buffer | undefined): void {
    const chunk = this.#chunk
    if (chunk === undefined || body === undefined) return
    if (this.#at === 'data') {
      chunk.pending.receivedBytes += body.length
      this.#endChunk(chunk)
      return
    }
    this.#onBody(chunk, body)
  }

  #onHead(head: ReplyHead | undefined): void {
    if (head === undefined) {
      this.#violation('no reply where one has to begin')
      return
    }
    const { cookieHigh, cookieLow } = head.cookie
    const pending = this.#parts.pending(cookieHigh, cookieLow)
    if (pending === undefined) this.#violation('a reply to a request that was not made')
    else if (head.type === 'simple') this.#onSimple(pending, head.error)
    else this.#onChunk(pending, head.flags, head.chunk)
  }

  #onSimple(pending: Pending, error: number): void {
    const { structured, finish } = this.#parts
    const needsChunks =
      pending.command === nbd.NBD_CMD_BLOCK_STATUS ||
      (structured && pending.command === nbd.NBD_CMD_READ)
    if (error !== nbd.NBD_OK) {
      finish(pending, faultOfNbdError(error, pending.doing))
      return
    }
    if (needsChunks) {
      this.#violation('a simple reply to what needs a structured one')
      return
    }
    if (pending.data === undefined) {
      finish(pending, undefined)
      return
    }
    const lengthBytes = pending.lengthBytes
    this.#chunk = { pending, type: nbd.NBD_REPLY_TYPE_OFFSET_DATA, done: true, lengthBytes }
    this.#expectData(pending.data)
  }

  #onChunk(pending: Pending, flags: number, type: number): void {
    if (!this.#parts.structured) {
      this.#violation('a structured reply that was not agreed on')
      return
    }
    const done = (flags & nbd.NBD_REPLY_FLAG_DONE) !== 0
    this.#chunk = { pending, type, done, lengthBytes: 0 }
    this.#next('length', CHUNK_LENGTH_BYTES)
  }

  #onLength(lengthBytes: number): void {
    const chunk = this.#chunk
    if (chunk === undefined) return
    chunk.lengthBytes = lengthBytes
    const isRead = chunk.pending.command === nbd.NBD_CMD_READ
    if (chunk.type === nbd.NBD_REPLY_TYPE_OFFSET_DATA && isRead && lengthBytes > OFFSET_BYTES) {
      this.#next('offset', OFFSET_BYTES)
    } else if (lengthBytes === 0 && chunk.type === nbd.NBD_REPLY_TYPE_NONE) {
      this.#endChunk(chunk)
    } else if (lengthBytes === 0 || lengthBytes > 4 + NBD_CLIENT_DESCRIPTORS * DESCRIPTOR_BYTES) {
      this.#violation('a chunk of impossible length')
    } else {
      this.#at = 'body'
      this.#parts.intake.expect(Buffer.allocUnsafeSlow(lengthBytes))
    }
  }

  #onOffset(offsetBytes: number): void {
    const chunk = this.#chunk
    if (chunk === undefined) return
    const place = placeOf(chunk.pending, offsetBytes, chunk.lengthBytes - OFFSET_BYTES)
    if (place === undefined) this.#violation('data outside of what was asked for')
    else this.#expectData(place)
  }

  #onBody(chunk: Chunk, body: Buffer): void {
    const { pending } = chunk
    if (chunk.type >= 1 << 15) {
      const error = decodeError(body)
      if (error === undefined) this.#violation('a malformed error')
      else {
        pending.failure ??= faultOfNbdError(error.error, pending.doing, error.message)
        this.#endChunk(chunk)
      }
    } else if (chunk.type === nbd.NBD_REPLY_TYPE_OFFSET_HOLE && body.length === 12) {
      const place = placeOf(pending, readOffset(body, 0), body.readUInt32BE(8))
      if (place === undefined) this.#violation('a hole outside of what was asked for')
      else {
        place.fill(0)
        pending.receivedBytes += place.length
        this.#endChunk(chunk)
      }
    } else if (chunk.type === nbd.NBD_REPLY_TYPE_BLOCK_STATUS) this.#onStatus(chunk, body)
    else this.#violation('a chunk that does not belong to the request')
  }

  #onStatus(chunk: Chunk, body: Buffer): void {
    const status = decodeStatus(body)
    const isAsked = chunk.pending.command === nbd.NBD_CMD_BLOCK_STATUS
    if (status === undefined || !isAsked || status.contextId !== this.#parts.allocation) {
      this.#violation('a malformed block status')
      return
    }
    chunk.pending.extents = status.extents.map(({ lengthBytes, state }) => {
      return { lengthBytes, hole: (state & nbd.NBD_STATE_HOLE) !== 0 }
    })
    this.#endChunk(chunk)
  }

  #endChunk({ pending, done }: Chunk): void {
    this.#chunk = undefined
    this.#next('head', SIMPLE_REPLY_BYTES)
    if (!done) return
    if (pending.failure === undefined && !isComplete(pending)) {
      this.#violation('a reply that ended too early')
      return
    }
    this.#parts.finish(pending, pending.failure)
  }

  #expectData(place: Buffer): void {
    this.#at = 'data'
    this.#parts.intake.expect(place)
  }

  #next(at: 'head' | 'length' | 'offset', headerBytes: number): void {
    this.#at = at
    this.#parts.intake.headerBytes = headerBytes
  }

  #violation(why: string): void {
    const message = `the NBD server sent nonsense: ${why}`
    this.#parts.violation(new ShoalError({ code: 'BAD_MESSAGE', protocol: 'nbd' }, message))
  }
}

/** Where data for this range goes; undefined if that is not part of what is still missing. */
function placeOf(pending: Pending, offsetBytes: number, lengthBytes: number): Buffer | undefined {
  const { data, receivedBytes } = pending
  const from = offsetBytes - pending.offsetBytes
  if (data === undefined || lengthBytes === 0 || from < 0) return undefined
  if (from + lengthBytes > data.length || receivedBytes + lengthBytes > data.length) {
    return undefined
  }
  return data.subarray(from, from + lengthBytes)
}

function isComplete(pending: Pending): boolean {
  if (pending.command === nbd.NBD_CMD_READ) return pending.receivedBytes === pending.lengthBytes
  return pending.command !== nbd.NBD_CMD_BLOCK_STATUS || pending.extents.length > 0
}
