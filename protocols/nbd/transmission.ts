/**
 * Frames of the transmission phase; all integers big-endian.
 *
 *   request     25609513 u32 | flags u16 | command u16 | cookie u64 | offset u64 | length u32
 *               (a write's payload follows)
 *   simple      67446698 u32 | error u32 | cookie u64
 *               (the data of a read follows, if error is 0)
 *   structured  668e33ef u32 | flags u16 | type u16 | cookie u64 | length u32 | body
 *     OFFSET_DATA   offset u64 | data              OFFSET_HOLE  offset u64 | length u32
 *     BLOCK_STATUS  context id u32 | n x (length u32 | state u32)
 *     ERROR         error u32 | message length u16 | message
 *
 * A cookie is the client's and only ever copied: it is kept as two 32-bit halves. Headers are read
 * and written in place, in buffers that hold many of them.
 */
import {
  NBD_REQUEST_MAGIC,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC
} from './constants.ts'

export const REQUEST_BYTES = 28
export const SIMPLE_REPLY_BYTES = 16
export const CHUNK_HEADER_BYTES = 20
/** What a chunk has that a simple reply has not: its length. */
export const CHUNK_LENGTH_BYTES = CHUNK_HEADER_BYTES - SIMPLE_REPLY_BYTES
export const OFFSET_BYTES = 8
export const DESCRIPTOR_BYTES = 8

const TWO_32 = 2 ** 32

export interface NbdRequest {
  readonly flags: number
  readonly command: number
  readonly cookieHigh: number
  readonly cookieLow: number
  /** Exact up to 2^53; above that only known to be out of any range. */
  readonly offsetBytes: number
  readonly lengthBytes: number
}

/** The request whose header lies at `at`; undefined if none begins there. */
export function decodeRequest(bytes: Buffer, at = 0): NbdRequest | undefined {
  if (bytes.length - at < REQUEST_BYTES) return undefined
  if (bytes.readUInt32BE(at) !== NBD_REQUEST_MAGIC) return undefined
  return {
    flags: bytes.readUInt16BE(at + 4),
    command: bytes.readUInt16BE(at + 6),
    cookieHigh: bytes.readUInt32BE(at + 8),
    cookieLow: bytes.readUInt32BE(at + 12),
    offsetBytes: readOffset(bytes, at + 16),
    lengthBytes: bytes.readUInt32BE(at + 24)
  }
}

export function putRequest(target: Buffer, at: number, request: NbdRequest): void {
  target.writeUInt32BE(NBD_REQUEST_MAGIC, at)
  target.writeUInt16BE(request.flags, at + 4)
  target.writeUInt16BE(request.command, at + 6)
  target.writeUInt32BE(request.cookieHigh, at + 8)
  target.writeUInt32BE(request.cookieLow, at + 12)
  putOffset(target, at + 16, request.offsetBytes)
  target.writeUInt32BE(request.lengthBytes, at + 24)
}

interface Cookie {
  readonly cookieHigh: number
  readonly cookieLow: number
}

export function putSimpleReply(target: Buffer, at: number, cookie: Cookie, error: number): void {
  target.writeUInt32BE(NBD_SIMPLE_REPLY_MAGIC, at)
  target.writeUInt32BE(error, at + 4)
  target.writeUInt32BE(cookie.cookieHigh, at + 8)
  target.writeUInt32BE(cookie.cookieLow, at + 12)
}

export function putChunkHeader(
  target: Buffer,
  at: number,
  cookie: Cookie,
  chunk: { flags: number; type: number; lengthBytes: number }
): void {
  target.writeUInt32BE(NBD_STRUCTURED_REPLY_MAGIC, at)
  target.writeUInt16BE(chunk.flags, at + 4)
  target.writeUInt16BE(chunk.type, at + 6)
  target.writeUInt32BE(cookie.cookieHigh, at + 8)
  target.writeUInt32BE(cookie.cookieLow, at + 12)
  target.writeUInt32BE(chunk.lengthBytes, at + 16)
}

/** Offsets of 2^53 and more come out inexact, and far above any size. */
export function readOffset(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4)
}

export function putOffset(target: Buffer, at: number, offsetBytes: number): void {
  target.writeUInt32BE(Math.floor(offsetBytes / TWO_32), at)
  target.writeUInt32BE(offsetBytes % TWO_32, at + 4)
}

export type ReplyHead =
  | { readonly type: 'simple'; readonly error: number; readonly cookie: Cookie }
  | {
      readonly type: 'chunk'
      readonly flags: number
      readonly chunk: number
      readonly cookie: Cookie
    }

/** The first 16 bytes of any reply: a whole simple one, or a chunk's header but for its length. */
export function decodeReplyHead(bytes: Buffer, at = 0): ReplyHead | undefined {
  if (bytes.length - at < SIMPLE_REPLY_BYTES) return undefined
  const cookie = {
    cookieHigh: bytes.readUInt32BE(at + 8),
    cookieLow: bytes.readUInt32BE(at + 12)
  }
  switch (bytes.readUInt32BE(at)) {
    case NBD_SIMPLE_REPLY_MAGIC:
      return { type: 'simple', error: bytes.readUInt32BE(at + 4), cookie }
    case NBD_STRUCTURED_REPLY_MAGIC: {
      const flags = bytes.readUInt16BE(at + 4)
      return { type: 'chunk', flags, chunk: bytes.readUInt16BE(at + 6), cookie }
    }
    default:
      return undefined
  }
}

/** Body of an ERROR chunk. */
export function encodeError(error: number, message: string): Buffer {
  const text = Buffer.from(message.slice(0, 1024), 'utf8')
  const body = Buffer.alloc(6 + text.length)
  body.writeUInt32BE(error, 0)
  body.writeUInt16BE(text.length, 4)
  body.set(text, 6)
  return body
}

/** Body of an ERROR or ERROR_OFFSET chunk; undefined if malformed (error 0 is). */
export function decodeError(body: Buffer): { error: number; message: string } | undefined {
  if (body.length < 6) return undefined
  const error = body.readUInt32BE(0)
  const length = body.readUInt16BE(4)
  if (error === 0 || length > body.length - 6) return undefined
  return { error, message: body.toString('utf8', 6, 6 + length) }
}

export interface StatusDescriptor {
  readonly lengthBytes: number
  readonly state: number
}

/** Body of a BLOCK_STATUS chunk. */
export function encodeStatus(contextId: number, extents: readonly StatusDescriptor[]): Buffer {
  const body = Buffer.alloc(4 + extents.length * DESCRIPTOR_BYTES)
  body.writeUInt32BE(contextId, 0)
  extents.forEach(({ lengthBytes, state }, i) => {
    body.writeUInt32BE(lengthBytes, 4 + i * DESCRIPTOR_BYTES)
    body.writeUInt32BE(state, 8 + i * DESCRIPTOR_BYTES)
  })
  return body
}

/** Undefined if malformed; a descriptor without length is, and so is a body without descriptors. */
export function decodeStatus(
  body: Buffer
): { contextId: number; extents: StatusDescriptor[] } | undefined {
  if (body.length < 4 + DESCRIPTOR_BYTES || (body.length - 4) % DESCRIPTOR_BYTES !== 0) {
    return undefined
  }
  const extents: StatusDescriptor[] = []
  for (let at = 4; at < body.length; at += DESCRIPTOR_BYTES) {
    const lengthBytes = body.readUInt32BE(at)
    if (lengthBytes === 0) return undefined
    extents.push({ lengthBytes, state: body.readUInt32BE(at + 4) })
  }
  return { contextId: body.readUInt32BE(0), extents }
}
