/**
 * Bodies of the options that have one, and of their answers.
 *
 *   INFO, GO              name string | count u16 | count x information type u16
 *   LIST/SET_META_CONTEXT name string | count u32 | count x query string
 *   reply SERVER          name string | description (the rest)
 *   reply INFO            type u16 | EXPORT: size u64, flags u16; BLOCK_SIZE: 3 x u32; else UTF-8
 *   reply META_CONTEXT    id u32 | name (the rest)
 */
import { assert } from '../assert.ts'
import { NBD_MAX_PAYLOAD_BYTES } from '../limits.ts'
import {
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_DESCRIPTION,
  NBD_INFO_EXPORT,
  NBD_INFO_NAME
} from './constants.ts'
import { decodeString, encodeString } from './handshake.ts'

export interface InfoRequest {
  readonly name: string
  readonly wanted: readonly number[]
}

export interface MetaContextRequest {
  readonly name: string
  readonly queries: readonly string[]
}

export type InfoReply =
  | { readonly type: 'export'; readonly sizeBytes: number; readonly flags: number }
  | { readonly type: 'name'; readonly text: string }
  | { readonly type: 'description'; readonly text: string }
  | {
      readonly type: 'block-size'
      readonly minimumBytes: number
      readonly preferredBytes: number
      readonly maximumBytes: number
    }
  | { readonly type: 'other' }

export function encodeInfoRequest({ name, wanted }: InfoRequest): Buffer {
  const types = Buffer.alloc(2 + wanted.length * 2)
  types.writeUInt16BE(wanted.length, 0)
  wanted.forEach((type, i) => {
    types.writeUInt16BE(type, 2 + i * 2)
  })
  return Buffer.concat([encodeString(name), types])
}

export function decodeInfoRequest(body: Buffer): InfoRequest | undefined {
  const name = decodeString(body, 0)
  if (name === undefined || body.length - name.end < 2) return undefined
  const count = body.readUInt16BE(name.end)
  if (body.length !== name.end + 2 + count * 2) return undefined
  const wanted: number[] = []
  for (let i = 0; i < count; i++) wanted.push(body.readUInt16BE(name.end + 2 + i * 2))
  return { name: name.text, wanted }
}

export function encodeMetaContextRequest({ name, queries }: MetaContextRequest): Buffer {
  const count = Buffer.alloc(4)
  count.writeUInt32BE(queries.length, 0)
  return Buffer.concat([encodeString(name), count, ...queries.map(encodeString)])
}

export function decodeMetaContextRequest(body: Buffer): MetaContextRequest | undefined {
  const name = decodeString(body, 0)
  if (name === undefined || body.length - name.end < 4) return undefined
  const count = body.readUInt32BE(name.end)
  if (count > (body.length - name.end - 4) / 4) return undefined
  const queries: string[] = []
  let at = name.end + 4
  for (let i = 0; i < count; i++) {
    const query = decodeString(body, at)
    if (query === undefined) return undefined
    queries.push(query.text)
    at = query.end
  }
  return at === body.length ? { name: name.text, queries } : undefined
}

export function encodeServerReply(name: string, description: string): Buffer {
  return Buffer.concat([encodeString(name), Buffer.from(description, 'utf8')])
}

export function decodeServerReply(body: Buffer): { name: string; description: string } | undefined {
  const name = decodeString(body, 0)
  if (name === undefined) return undefined
  return { name: name.text, description: body.toString('utf8', name.end) }
}

export function encodeInfoReply(reply: Exclude<InfoReply, { type: 'other' }>): Buffer {
  switch (reply.type) {
    case 'export': {
      const body = infoBody(NBD_INFO_EXPORT, 10)
      body.writeBigUInt64BE(BigInt(reply.sizeBytes), 2)
      body.writeUInt16BE(reply.flags, 10)
      return body
    }
    case 'name':
      return Buffer.concat([infoBody(NBD_INFO_NAME, 0), Buffer.from(reply.text, 'utf8')])
    case 'description':
      return Buffer.concat([infoBody(NBD_INFO_DESCRIPTION, 0), Buffer.from(reply.text, 'utf8')])
    case 'block-size': {
      assert(isBlockSizes(reply), 'block sizes are powers of two in order')
      const body = infoBody(NBD_INFO_BLOCK_SIZE, 12)
      body.writeUInt32BE(reply.minimumBytes, 2)
      body.writeUInt32BE(reply.preferredBytes, 6)
      body.writeUInt32BE(reply.maximumBytes, 10)
      return body
    }
  }
}

/** `other` for what we do not know (a client ignores it); undefined for what is malformed. */
export function decodeInfoReply(body: Buffer): InfoReply | undefined {
  if (body.length < 2) return undefined
  switch (body.readUInt16BE(0)) {
    case NBD_INFO_EXPORT: {
      if (body.length !== 12) return undefined
      const sizeBytes = Number(body.readBigUInt64BE(2))
      if (!Number.isSafeInteger(sizeBytes)) return undefined
      return { type: 'export', sizeBytes, flags: body.readUInt16BE(10) }
    }
    case NBD_INFO_NAME:
      return { type: 'name', text: body.toString('utf8', 2) }
    case NBD_INFO_DESCRIPTION:
      return { type: 'description', text: body.toString('utf8', 2) }
    case NBD_INFO_BLOCK_SIZE: {
      if (body.length !== 14) return undefined
      const sizes = {
        type: 'block-size',
        minimumBytes: body.readUInt32BE(2),
        preferredBytes: body.readUInt32BE(6),
        maximumBytes: body.readUInt32BE(10)
      } as const
      return isBlockSizes(sizes) ? sizes : undefined
    }
    default:
      return { type: 'other' }
  }
}

export function encodeMetaContextReply(id: number, name: string): Buffer {
  const body = Buffer.alloc(4)
  body.writeUInt32BE(id, 0)
  return Buffer.concat([body, Buffer.from(name, 'utf8')])
}

export function decodeMetaContextReply(body: Buffer): { id: number; name: string } | undefined {
  if (body.length < 4) return undefined
  return { id: body.readUInt32BE(0), name: body.toString('utf8', 4) }
}

/** Any maximum that is not a power of two is allowed, as long as it is not below the others. */
function isBlockSizes(sizes: {
  minimumBytes: number
  preferredBytes: number
  maximumBytes: number
}): boolean {
  const { minimumBytes, preferredBytes, maximumBytes } = sizes
  if (!isPowerOfTwo(minimumBytes) || minimumBytes > 64 * 1024) return false
  if (!isPowerOfTwo(preferredBytes) || preferredBytes < minimumBytes) return false
  return preferredBytes <= Math.min(maximumBytes, NBD_MAX_PAYLOAD_BYTES)
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value))
}

function infoBody(type: number, moreBytes: number): Buffer {
  const body = Buffer.alloc(2 + moreBytes)
  body.writeUInt16BE(type, 0)
  return body
}
