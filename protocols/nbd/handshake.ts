/**
 * Frames of the handshake, fixed newstyle; all integers big-endian.
 *
 *   greeting      NBDMAGIC u64 | IHAVEOPT u64 | handshake flags u16             server -> client
 *   client flags  u32                                                          client -> server
 *   option        IHAVEOPT u64 | option u32 | length u32 | body                client -> server
 *   reply         reply magic u64 | option u32 | type u32 | length u32 | body  server -> client
 *   export (old)  size u64 | transmission flags u16 | 124 zeroes               server -> client
 *
 * Encoders assert, decoders are total: any bytes give a value or undefined.
 */
import { assert } from '../assert.ts'
import { NBD_MAX_REPLY_BYTES, NBD_MAX_STRING_BYTES } from '../limits.ts'
import {
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_MAGIC,
  NBD_OPTION_MAGIC,
  NBD_OPTION_REPLY_MAGIC
} from './constants.ts'

export const GREETING_BYTES = 18
export const CLIENT_FLAGS_BYTES = 4
export const OPTION_HEADER_BYTES = 16
export const OPTION_REPLY_HEADER_BYTES = 20
/** The answer to EXPORT_NAME, with and without its zeroes. */
export const OLD_EXPORT_BYTES = 134
export const OLD_EXPORT_SHORT_BYTES = 10

export interface OptionHeader {
  readonly option: number
  readonly lengthBytes: number
}

export interface OptionReplyHeader {
  readonly option: number
  readonly type: number
  readonly lengthBytes: number
}

export function encodeGreeting(): Buffer {
  const frame = Buffer.alloc(GREETING_BYTES)
  frame.writeBigUInt64BE(NBD_MAGIC, 0)
  frame.writeBigUInt64BE(NBD_OPTION_MAGIC, 8)
  frame.writeUInt16BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES, 16)
  return frame
}

/** The server's handshake flags, or undefined if it does not speak newstyle. */
export function decodeGreeting(frame: Buffer): number | undefined {
  if (frame.length < GREETING_BYTES) return undefined
  if (frame.readBigUInt64BE(0) !== NBD_MAGIC) return undefined
  if (frame.readBigUInt64BE(8) !== NBD_OPTION_MAGIC) return undefined
  return frame.readUInt16BE(16)
}

export function encodeClientFlags(flags: number): Buffer {
  const frame = Buffer.alloc(CLIENT_FLAGS_BYTES)
  frame.writeUInt32BE(flags, 0)
  return frame
}

export function encodeOption(option: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.alloc(OPTION_HEADER_BYTES + body.length)
  frame.writeBigUInt64BE(NBD_OPTION_MAGIC, 0)
  frame.writeUInt32BE(option, 8)
  frame.writeUInt32BE(body.length, 12)
  frame.set(body, OPTION_HEADER_BYTES)
  return frame
}

/** Undefined unless an option begins at `at`. */
export function decodeOptionHeader(bytes: Buffer, at = 0): OptionHeader | undefined {
  if (bytes.length - at < OPTION_HEADER_BYTES) return undefined
  if (bytes.readBigUInt64BE(at) !== NBD_OPTION_MAGIC) return undefined
  return { option: bytes.readUInt32BE(at + 8), lengthBytes: bytes.readUInt32BE(at + 12) }
}

export function encodeOptionReply(
  option: number,
  type: number,
  body: Uint8Array = Buffer.alloc(0)
): Buffer {
  assert(body.length <= NBD_MAX_REPLY_BYTES, 'an answer to an option fits its bound')
  const frame = Buffer.alloc(OPTION_REPLY_HEADER_BYTES + body.length)
  frame.writeBigUInt64BE(NBD_OPTION_REPLY_MAGIC, 0)
  frame.writeUInt32BE(option, 8)
  frame.writeUInt32BE(type, 12)
  frame.writeUInt32BE(body.length, 16)
  frame.set(body, OPTION_REPLY_HEADER_BYTES)
  return frame
}

/** Undefined unless the answer to an option begins at `at` and its body is within the bound. */
export function decodeOptionReplyHeader(bytes: Buffer, at = 0): OptionReplyHeader | undefined {
  if (bytes.length - at < OPTION_REPLY_HEADER_BYTES) return undefined
  if (bytes.readBigUInt64BE(at) !== NBD_OPTION_REPLY_MAGIC) return undefined
  const lengthBytes = bytes.readUInt32BE(at + 16)
  if (lengthBytes > NBD_MAX_REPLY_BYTES) return undefined
  return { option: bytes.readUInt32BE(at + 8), type: bytes.readUInt32BE(at + 12), lengthBytes }
}

/** What EXPORT_NAME is answered with. */
export function encodeOldExport(sizeBytes: number, flags: number, zeroes: boolean): Buffer {
  const frame = Buffer.alloc(zeroes ? OLD_EXPORT_BYTES : OLD_EXPORT_SHORT_BYTES)
  frame.writeBigUInt64BE(BigInt(sizeBytes), 0)
  frame.writeUInt16BE(flags, 8)
  return frame
}

/** length u32 | UTF-8. */
export function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8')
  assert(bytes.length <= NBD_MAX_STRING_BYTES, 'a string fits the bound of the specification')
  const frame = Buffer.alloc(4 + bytes.length)
  frame.writeUInt32BE(bytes.length, 0)
  frame.set(bytes, 4)
  return frame
}

/** The string at `at` and where it ends; undefined if it is too long or runs past the end. */
export function decodeString(bytes: Buffer, at: number): { text: string; end: number } | undefined {
  if (bytes.length - at < 4) return undefined
  const length = bytes.readUInt32BE(at)
  if (length > NBD_MAX_STRING_BYTES || length > bytes.length - at - 4) return undefined
  const end = at + 4 + length
  return { text: bytes.toString('utf8', at + 4, end), end }
}
